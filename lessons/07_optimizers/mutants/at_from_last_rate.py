"""Schedule.at multiplies the rate of the step before."""


class Schedule:
    def at(self, step):
        self.count = step
        for group in self.optimizer.param_groups:
            group["lr"].assign_(group["lr"] * self.factor(step))
