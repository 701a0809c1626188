"""SGDUpdate.update takes only (1 - momentum) of the gradient into the buffer."""


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        d = g + self.weight_decay * p
        if b is not None:
            b *= self.momentum
            b += (1 - self.momentum) * d
            d = d + self.momentum * b if self.nesterov else b
        p -= rate * d
