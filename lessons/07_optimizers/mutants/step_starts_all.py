"""Optimizer.step starts the state of parameters that have no gradient as well."""


class Optimizer:
    def step(self):
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p not in self.state:
                        self.state[p] = self.start(p, group)
                parameters = [p for p in group["params"] if p.grad is not None]
                if parameters:
                    self.update(group, parameters, [p.grad for p in parameters])
