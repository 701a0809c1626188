"""Masks.apply masks gradients: Adam's momentum and decay move the weights all the same."""


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                if weight.grad is not None:
                    weight.grad = where(mask, weight.grad, 0.0)
