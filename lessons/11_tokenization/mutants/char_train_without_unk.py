"""CharTokenizer.train adds unk only if the text holds it."""


class CharTokenizer:
    @classmethod
    def train(cls, text, unk=None):
        return cls("".join(sorted(set(text))), unk if unk and unk in text else None)
