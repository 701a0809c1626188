"""StepLR.factor falls one step late."""


class StepLR:
    def factor(self, step):
        return float(self.gamma ** (max(step - 1, 0) // self.step_size))
