"""AdamUpdate.update corrects by the number of the next step."""


class AdamUpdate:
    def update(self, rate, step, p, g, m, v):
        b1, b2 = self.betas
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        p -= rate * m / (1 - b1 ** (step + 1)) / (np.sqrt(v / (1 - b2 ** (step + 1))) + self.eps)
