"""Masks.apply makes masked weights very small."""


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(where(mask, weight, weight * 1e-20))
