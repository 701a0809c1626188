"""SGDUpdate.update decays the parameter after the step instead of before."""


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        if b is not None:
            b *= self.momentum
            b += g + self.weight_decay * p
            p -= rate * (g + self.momentum * b if self.nesterov else b)
        else:
            p -= rate * g
            p -= rate * self.weight_decay * p
