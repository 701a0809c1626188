"""BPETokenizer.decode gives text instead of bytes, and loses what is no UTF-8."""


class BPETokenizer:
    def decode(self, ids):
        return b"".join(self.tokens[i] for i in check_ids(ids, self.vocab_size)).decode("utf-8", "replace")
