"""AdamUpdate.update stores the corrected means."""


class AdamUpdate:
    def update(self, rate, step, p, g, m, v):
        b1, b2 = self.betas
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        m /= 1 - b1**step
        v /= 1 - b2**step
        p -= rate * m / (np.sqrt(v) + self.eps)
