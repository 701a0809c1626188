"""StepLR.factor falls with every step, not in stairs."""


class StepLR:
    def factor(self, step):
        return float(self.gamma ** (step / self.step_size))
