"""Optimizer.step starts the state again in each step."""


class Optimizer:
    def step(self):
        with no_grad():
            for group in self.param_groups:
                parameters = [p for p in group["params"] if p.grad is not None]
                if parameters:
                    for p in parameters:
                        self.state[p] = self.start(p, group)
                    self.update(group, parameters, [p.grad for p in parameters])
