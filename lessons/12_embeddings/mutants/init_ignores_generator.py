"""Embedding.__init__ draws from the default generator, whatever it was given."""


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, *, generator=None):
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = init.normal((num_embeddings, embedding_dim), 1.0)
