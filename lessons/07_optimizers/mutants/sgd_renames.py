"""SGDUpdate.update makes a new array instead of changing the parameter."""


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        if b is not None:
            b *= self.momentum
            b += g + self.weight_decay * p
            g = g + self.momentum * b if self.nesterov else b
        else:
            g = g + self.weight_decay * p
        p = p - rate * g
