"""Embedding.logits sends no gradient to the shared weight."""


class Embedding:
    def logits(self, x):
        return linear(x, self.weight.detach())
