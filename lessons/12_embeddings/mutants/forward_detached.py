"""Embedding.forward cuts the gradient off."""


class Embedding:
    def forward(self, ids):
        return embedding(ids, self.weight.detach())
