"""Masks.apply multiplies and adds 0.0, which heals -0.0 but not infinity."""


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(weight * mask.to(weight.dtype) + 0.0)
