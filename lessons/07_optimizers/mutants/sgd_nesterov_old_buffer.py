"""SGDUpdate.update looks ahead with the buffer of before the step."""


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        d = g + self.weight_decay * p
        if b is not None:
            old = b.copy()
            b *= self.momentum
            b += d
            d = d + self.momentum * old if self.nesterov else b
        p -= rate * d
