"""AdamUpdate.decay changes the gradient in place."""


class AdamUpdate:
    def decay(self, rate, p, g):
        if self.weight_decay and self.decoupled:
            p -= rate * self.weight_decay * p
        elif self.weight_decay:
            g += self.weight_decay * p
        return g
