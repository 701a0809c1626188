"""Embedding.logits divides by the root of the width, as attention does."""


class Embedding:
    def logits(self, x):
        return linear(x, self.weight) * self.embedding_dim**-0.5
