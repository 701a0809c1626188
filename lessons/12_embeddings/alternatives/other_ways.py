"""Other functions of NumPy, and matrix products with rows of zeros and ones."""

from tinytorch.errors import ShapeError


class Lookup:
    def forward(self, a, ids):
        bad = ids[(ids < 0) | (ids >= a.shape[0])]
        if bad.size:
            raise ShapeError(
                f"embedding: id {bad[0]} does not exist; ids are 0 to {a.shape[0] - 1} ({a.shape[0]} rows)"
            )
        return np.take(a, ids, axis=0) if a.size else np.zeros((*ids.shape, *a.shape[1:]), a.dtype)


def sum_rows(ids, rows, count):
    out = np.zeros((count, *rows.shape[1:]), rows.dtype)
    np.add.at(out, ids, rows)
    return out


class TakeGrad:
    def forward(self, g, ids):
        flat = np.where(ids < 0, ids + self.rows, ids).ravel()
        chosen = (np.arange(self.rows)[:, None] == flat).astype(g.dtype)
        return np.tensordot(chosen, g.reshape(flat.size, *g.shape[ids.ndim :]), axes=1)


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, *, generator=None):
        super().__init__()
        self.weight = init.normal((num_embeddings, embedding_dim), 1.0, generator)
        self.num_embeddings, self.embedding_dim = self.weight.shape

    def forward(self, ids):
        return embedding(weight=self.weight, ids=ids)

    def logits(self, x):
        return linear(x, self.weight, None)

    def nearest(self, id, k=5):
        if id not in range(self.num_embeddings):
            raise ShapeError(f"nearest: id {id} of {self.num_embeddings}")
        rows = self.weight.numpy().astype(float)
        lengths = np.linalg.norm(rows, axis=1)
        lengths[lengths == 0] = np.inf
        cosines = rows / lengths[:, None] @ (rows[id] / lengths[id])
        others = np.delete(np.arange(len(rows)), id)
        order = others[np.lexsort((others, -cosines[others]))][:k]
        return list(zip(order.tolist(), cosines[order].tolist(), strict=True))


def sinusoidal(length, dim):
    if length < 0 or dim < 0 or dim % 2:
        raise ShapeError(f"sinusoidal: ({length}, {dim}) is no shape with an even dim")
    if not dim:
        return Tensor(np.zeros((length, 0), np.float32))
    frequencies = np.exp(-np.log(10000.0) * np.arange(0, dim, 2) / dim)
    angles = np.outer(np.arange(length), frequencies)
    return Tensor(np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, dim), dtype="float32")


class Positions:
    def forward(self, x, start=0):
        t = x.shape[-2] if x.ndim > 1 else 0
        if x.ndim == 1 or x.shape[-1] != self.dim or not 0 <= start <= self.context - t:
            raise ShapeError(f"Positions: {x.shape} from {start}, context {self.context}, width {self.dim}")
        return x + embedding(Tensor(np.arange(start, start + t)), self.table)
