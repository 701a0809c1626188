"""SGDUpdate.update adds the weight decay to the gradient itself."""


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        g += self.weight_decay * p
        if b is not None:
            b *= self.momentum
            b += g
            g = g + self.momentum * b if self.nesterov else b
        p -= rate * g
