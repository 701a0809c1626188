"""Optimizer.step is recorded for backward."""


class Optimizer:
    def step(self):
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                for p in parameters:
                    if p not in self.state:
                        self.state[p] = self.start(p, group)
                self.update(group, parameters, [p.grad for p in parameters])
