"""One row, or one element, at a time."""

import math

from tinytorch.errors import ShapeError


class Lookup:
    def forward(self, a, ids):
        out = np.zeros((*ids.shape, *a.shape[1:]), a.dtype)
        for at in np.ndindex(*ids.shape):
            id = int(ids[at])
            if not 0 <= id < len(a):
                raise ShapeError(f"embedding: there is no row {id} among {len(a)}")
            out[at] = a[id]
        return out


def sum_rows(ids, rows, count):
    out = np.zeros((count, *rows.shape[1:]), rows.dtype)
    for id, row in zip(ids, rows, strict=True):
        out[id] += row
    return out


class TakeGrad:
    def forward(self, g, ids):
        out = np.zeros((self.rows, *g.shape[ids.ndim :]), g.dtype)
        for at in np.ndindex(*ids.shape):
            out[ids[at]] += g[at]
        return out


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, *, generator=None):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = init.normal((num_embeddings, embedding_dim), generator=generator)

    def forward(self, ids):
        return _lookup(self.weight, ids)

    def logits(self, x):
        return x @ self.weight.T

    def nearest(self, id, k=5):
        rows = self.weight.numpy().tolist()
        if id < 0 or id >= len(rows):
            raise ShapeError(f"nearest: there is no id {id}")
        found = []
        for other, row in enumerate(rows):
            if other == id:
                continue
            lengths = math.sqrt(sum(v * v for v in row)) * math.sqrt(sum(v * v for v in rows[id]))
            dot = sum(a * b for a, b in zip(row, rows[id], strict=True))
            found.append((other, dot / lengths if lengths else 0.0))
        return sorted(found, key=lambda pair: (-round(pair[1], 12), pair[0]))[:k]


def sinusoidal(length, dim):
    if length < 0 or dim < 0 or dim % 2 == 1:
        raise ShapeError(f"sinusoidal: no waves of ({length}, {dim})")
    table = np.zeros((length, dim), np.float32)
    for p in range(length):
        for i in range(dim // 2):
            angle = p / 10000 ** (2 * i / dim)
            table[p, 2 * i], table[p, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return Tensor(table)


class Positions:
    def forward(self, x, start=0):
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ShapeError(f"Positions: {x.shape} does not end in (t, {self.dim})")
        end = start + x.shape[-2]
        if start < 0 or end > self.context:
            raise ShapeError(f"Positions: {x.shape} from {start} to {end}, but the context is {self.context}")
        return self.table[start:end] + x
