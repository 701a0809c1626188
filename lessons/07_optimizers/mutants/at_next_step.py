"""Schedule.at sets the rate of one step later."""


class Schedule:
    def at(self, step):
        self.count = step
        for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"].assign_(base * self.factor(step + 1))
