"""AdamUpdate.moments squares the mean instead of averaging the squares."""


class AdamUpdate:
    def moments(self, g, m, v):
        b1, b2 = self.betas
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * m * m
