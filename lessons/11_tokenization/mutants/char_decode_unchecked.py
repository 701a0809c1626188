"""CharTokenizer.decode takes -1 for the last character."""


class CharTokenizer:
    def decode(self, ids):
        return "".join(self.characters[i] for i in ids)
