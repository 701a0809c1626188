"""Embedding.nearest goes by dot products, so that long vectors win."""

from tinytorch.errors import ShapeError


class Embedding:
    def nearest(self, id, k=5):
        if not 0 <= id < self.num_embeddings:
            raise ShapeError(f"nearest: id {id}")
        rows = self.weight.data.astype(np.float64)
        scores = rows @ rows[id]
        order = [int(i) for i in np.argsort(-scores, kind="stable") if i != id]
        return [(i, float(scores[i])) for i in order[:k]]
