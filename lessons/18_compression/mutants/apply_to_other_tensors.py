"""Masks.apply keeps masked weights for itself, where the model does not see them."""


class Masks:
    def apply(self):
        with no_grad():
            for path, (weight, mask) in self._held.items():
                self._held[path] = where(mask, weight, 0.0), mask
