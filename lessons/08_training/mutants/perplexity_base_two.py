"""Perplexity.value takes the loss for bits."""


class Perplexity:
    def value(self):
        loss = self.mean.value()
        return 2.0**loss if not loss > 700 else math.inf
