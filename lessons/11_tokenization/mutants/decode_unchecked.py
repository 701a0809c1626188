"""BPETokenizer.decode takes -1 for the last token."""


class BPETokenizer:
    def decode(self, ids):
        return b"".join(self.tokens[i] for i in ids)
