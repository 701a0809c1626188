"""AdamUpdate.update adds eps under the root."""


class AdamUpdate:
    def update(self, rate, step, p, g, m, v):
        b1, b2 = self.betas
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        p -= rate * m / (1 - b1**step) / np.sqrt(v / (1 - b2**step) + self.eps)
