"""CharTokenizer.train keeps the order in which characters turn up."""


class CharTokenizer:
    @classmethod
    def train(cls, text, unk=None):
        found = list(dict.fromkeys((unk or "") + text))
        tokenizer = cls("".join(sorted(found)), unk)
        tokenizer.characters = "".join(found)
        return tokenizer
