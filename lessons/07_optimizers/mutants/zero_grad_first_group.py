"""Optimizer.zero_grad clears the first group only."""


class Optimizer:
    def zero_grad(self):
        for p in self.param_groups[0]["params"]:
            p.grad = None
