"""RunningMean.value is 0 of nothing."""


class RunningMean:
    def value(self):
        return self.total / self.weight if self.weight else 0.0
