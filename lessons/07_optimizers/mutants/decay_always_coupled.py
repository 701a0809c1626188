"""AdamUpdate.decay adds the decay to the gradient in AdamW too."""


class AdamUpdate:
    def decay(self, rate, p, g):
        return g + self.weight_decay * p if self.weight_decay else g
