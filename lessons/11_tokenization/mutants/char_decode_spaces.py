"""CharTokenizer.decode puts a space between the characters."""


class CharTokenizer:
    def decode(self, ids):
        return " ".join(self.characters[i] for i in check_ids(ids, self.vocab_size))
