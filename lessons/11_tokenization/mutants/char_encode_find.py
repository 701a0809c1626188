"""CharTokenizer.encode gives -1 for an unknown character, as str.find does."""


class CharTokenizer:
    def encode(self, text):
        return np.array([self.characters.find(c) for c in text], np.int32)
