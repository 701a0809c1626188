"""Embedding.__init__ draws from a uniform distribution."""


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, *, generator=None):
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = init.fan_in_uniform((num_embeddings, embedding_dim), 1, generator)
