"""CharTokenizer.encode gives 64-bit ids."""

from tinytorch.errors import DataError


class CharTokenizer:
    def encode(self, text):
        known = {c: i for i, c in enumerate(self.characters)}
        unknown = known.get(self.unk)
        for at, c in enumerate(text):
            if c not in known and unknown is None:
                raise DataError(f"character {c!r} at position {at}")
        return np.array([known.get(c, unknown) for c in text])
