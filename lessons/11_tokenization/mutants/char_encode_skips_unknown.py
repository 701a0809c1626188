"""CharTokenizer.encode leaves out what it does not know."""


class CharTokenizer:
    def encode(self, text):
        known = {c: i for i, c in enumerate(self.characters)}
        return np.array([known[c] for c in text if c in known], np.int32)
