"""Perplexity.value raises OverflowError for a large loss."""


class Perplexity:
    def value(self):
        return math.exp(self.mean.value())
