"""CharTokenizer.encode gives code points instead of places in the vocabulary."""


class CharTokenizer:
    def encode(self, text):
        return np.array([ord(c) for c in text], np.int32)
