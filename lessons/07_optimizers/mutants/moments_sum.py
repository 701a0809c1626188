"""AdamUpdate.moments adds the whole gradient, as momentum does."""


class AdamUpdate:
    def moments(self, g, m, v):
        b1, b2 = self.betas
        m *= b1
        m += g
        v *= b2
        v += (1 - b2) * g * g
