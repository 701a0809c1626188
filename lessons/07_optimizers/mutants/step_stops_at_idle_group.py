"""Optimizer.step ends at the first group without gradients."""


class Optimizer:
    def step(self):
        with no_grad():
            for group in self.param_groups:
                parameters = [p for p in group["params"] if p.grad is not None]
                if not parameters:
                    return
                for p in parameters:
                    self.state.setdefault(p, self.start(p, group) if p not in self.state else None)
                self.update(group, parameters, [p.grad for p in parameters])
