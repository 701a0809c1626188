"""AdamUpdate.moments takes each mean with the beta of the other."""


class AdamUpdate:
    def moments(self, g, m, v):
        b2, b1 = self.betas
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * g * g
