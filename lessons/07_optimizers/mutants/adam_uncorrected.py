"""AdamUpdate.update leaves the bias of the means uncorrected."""


class AdamUpdate:
    def update(self, rate, step, p, g, m, v):
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        p -= rate * m / (np.sqrt(v) + self.eps)
