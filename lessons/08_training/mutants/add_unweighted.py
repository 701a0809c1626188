"""RunningMean.add forgets the weight in the total."""


class RunningMean:
    def add(self, figure, weight=1.0):
        self.total += figure
        self.weight += weight
