"""CharTokenizer.train puts unk among the characters but does not make it the unknown one."""


class CharTokenizer:
    @classmethod
    def train(cls, text, unk=None):
        return cls("".join(sorted(set(text) | set(unk or ""))))
