"""Masks.apply holds what is zero when it is called, and looks at no mask."""


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(where(weight == 0.0, 0.0, weight))
