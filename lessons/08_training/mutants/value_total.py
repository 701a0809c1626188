"""RunningMean.value is the total."""


class RunningMean:
    def value(self):
        return self.total if self.weight else math.nan
