"""Masks.apply keeps the masks of its first call, whatever replaces them."""


class Masks:
    def apply(self):
        first = self.__dict__.setdefault("first", {})
        with no_grad():
            for path, (weight, mask) in self._held.items():
                first.setdefault(path, mask.numpy().copy())
                weight.assign_(where(from_numpy(first[path]), weight, 0.0))
