"""AdamUpdate.decay takes the decay off without the learning rate."""


class AdamUpdate:
    def decay(self, rate, p, g):
        if not self.weight_decay:
            return g
        if self.decoupled:
            p *= 1 - self.weight_decay
            return g
        return g + self.weight_decay * p
