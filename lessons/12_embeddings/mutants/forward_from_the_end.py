"""Embedding.forward indexes the weight, so that an id of -1 silently picks the last row."""


class Embedding:
    def forward(self, ids):
        return self.weight[ids]
