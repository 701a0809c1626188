"""Embedding.nearest lists the farthest first."""

from tinytorch.errors import ShapeError


class Embedding:
    def nearest(self, id, k=5):
        if not 0 <= id < self.num_embeddings:
            raise ShapeError(f"nearest: id {id}")
        rows = self.weight.data.astype(np.float64)
        lengths = np.sqrt((rows**2).sum(1))
        unit = rows / np.where(lengths > 0, lengths, 1)[:, None]
        scores = unit @ unit[id]
        order = [int(i) for i in np.argsort(scores, kind="stable") if i != id]
        return [(i, float(scores[i])) for i in order[:k]]
