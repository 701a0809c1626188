"""Embedding.__init__ makes a plain tensor that nobody trains."""

from tinytorch.random import default_generator


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, *, generator=None):
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = (generator or default_generator).randn(num_embeddings, embedding_dim)
