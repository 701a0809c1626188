"""RunningMean.add counts calls instead of weights."""


class RunningMean:
    def add(self, figure, weight=1.0):
        self.total += figure * weight
        self.weight += 1
