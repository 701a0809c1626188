"""Masks.apply multiplies, which makes -0.0 of negative weights and NaN of infinite ones."""


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(weight * mask.to(weight.dtype))
