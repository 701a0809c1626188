"""BPETokenizer.decode leaves special tokens out."""


class BPETokenizer:
    def decode(self, ids):
        known = self.vocab_size - len(self.specials)
        return b"".join(self.tokens[i] for i in check_ids(ids, self.vocab_size) if i < known)
