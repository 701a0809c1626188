"""Optimizer.zero_grad fills gradients with zeros instead of letting go of them."""


class Optimizer:
    def zero_grad(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.assign_(0.0)
