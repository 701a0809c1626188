"""SGDUpdate.update goes up the gradient."""


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        d = g + self.weight_decay * p
        if b is not None:
            b *= self.momentum
            b += d
            d = d + self.momentum * b if self.nesterov else b
        p += rate * d
