"""Embedding.__init__ exchanges rows and columns."""


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, *, generator=None):
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = init.normal((embedding_dim, num_embeddings), 1.0, generator)
