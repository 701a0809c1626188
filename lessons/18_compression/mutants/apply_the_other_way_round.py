"""Masks.apply sets what should stay to zero."""


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(where(mask, 0.0, weight))
