"""Embedding: a row of a table for each integer, and vectors for positions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.nn import init
from tinytorch.nn.module import Module
from tinytorch.ops.base import Sample
from tinytorch.ops.index import Take
from tinytorch.ops.matmul import linear
from tinytorch.ops.spec import Array
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


class Lookup(Take):
    """out = weight[ids]; unlike an index, an id does not count from the end.   dw = rows of g summed by id"""

    samples: ClassVar[Any] = [
        Sample(None, (4, 3), np.array([[0, 2, 2], [3, 1, 0]])),
        Sample(None, (4, 3), np.zeros((0,), np.int64)),
    ]

    def forward(self, a: Array, ids: Array) -> Array:
        """The row of the table a: (rows, ...) for each id, as a new array (*ids.shape, ...).

        Raises ShapeError, which names the id and the rows there are, for one below 0 or without a row.
        """
        if ids.size and ids.min() < 0:
            raise ShapeError(
                f"embedding: id {ids.min()} is negative; {a.shape[0]} rows have ids 0 to {a.shape[0] - 1}"
            )
        try:
            return a[ids]
        except IndexError:
            raise ShapeError(
                f"embedding: id {ids.max()} is out of range for {a.shape[0]} rows (0 to {a.shape[0] - 1})"
            ) from None


_lookup = Lookup()


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """Rows of weight: (rows, dim) picked by ids, integers of any shape; result (*ids.shape, dim).

    Raises ShapeError for an id that has no row, DTypeError for ids that are not integers.

    >>> embedding(Tensor([1, 0]), Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[3., 4.],
            [1., 2.]])
    """
    return _lookup(weight, ids)


class Embedding(Module):
    """A trained vector for each of num_embeddings ids; ids: (...) integers, result (..., embedding_dim).

    weight: (num_embeddings, embedding_dim) from N(0, 1). Raises ShapeError for an id without a row.

    >>> Embedding(10, 4)(Tensor([[1, 2, 9]])).shape
    (1, 3, 4)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, generator: Generator | None = None
    ) -> None:
        """Keeps both sizes under their names, and makes `weight`, a parameter drawn from `generator`."""
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = init.normal((num_embeddings, embedding_dim), 1.0, generator)

    def forward(self, ids: Tensor) -> Tensor:
        """The vector of each id, as `embedding` picks it from `weight`."""
        return embedding(ids, self.weight)

    def logits(self, x: Tensor) -> Tensor:
        """Dot products of x: (..., embedding_dim) with the vectors of all ids: (..., num_embeddings).

        This is an output layer without weights of its own: it is tied to the input's (Press, Wolf, "Using the
        output embedding to improve language models", 2017), whose gradient is then the sum of both uses.

        >>> words = Embedding(10, 4)
        >>> words.logits(words(Tensor([[1, 2, 9]]))).shape
        (1, 3, 10)
        """
        return linear(x, self.weight)

    def nearest(self, id: int, k: int = 5) -> list[tuple[int, float]]:
        """The k other ids whose vectors point most nearly where this one's does, as (id, cosine), best first.

        The cosine of two vectors is their dot product divided by both lengths, 0 where a length is 0; equal
        cosines go by id. There are fewer than k where there are no more ids. Raises ShapeError for an id
        without a row.

        >>> words = Embedding(3, 2)
        >>> _ = words.weight.assign_(Tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
        >>> [(id, round(cosine, 3)) for id, cosine in words.nearest(0)]
        [(2, 0.707), (1, 0.0)]
        """
        if not 0 <= id < self.num_embeddings:
            raise ShapeError(f"nearest: id {id} is not in 0 to {self.num_embeddings - 1}")
        rows = self.weight.data.astype(np.float64)
        lengths = np.sqrt(np.square(rows).sum(1))
        unit = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
        cosines = unit @ unit[id]
        order = [int(i) for i in np.argsort(-cosines, kind="stable") if i != id]
        return [(i, float(cosines[i])) for i in order[:k]]

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


def sinusoidal(length: int, dim: int) -> Tensor:
    """Waves that tell positions apart: (length, dim) float32, a row for each position from 0 on.

    out[p, 2 * i] = sin(p * f) and out[p, 2 * i + 1] = cos(p * f) with f = 10000 ** (-2 * i / dim): from one
    radian a position down to about 1 / 10000. Computed in float64, so that large positions keep their digits.
    Raises ShapeError, which names both, for a negative length and for a dim that is negative or odd.
    Vaswani et al., "Attention is all you need", 2017.

    >>> sinusoidal(2, 4)
    Tensor([[0.    , 1.    , 0.    , 1.    ],
            [0.8415, 0.5403, 0.01  , 0.9999]])
    """
    if length < 0 or dim < 0 or dim % 2:
        raise ShapeError(f"sinusoidal: ({length}, {dim}); expected a length of 0 or more and an even dim")
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / max(dim, 1))
    waves = np.empty((length, dim), np.float32)
    waves[:, 0::2], waves[:, 1::2] = np.sin(angles), np.cos(angles)
    return Tensor(waves)


class Positions(Module):
    """Adds to x: (..., t, dim) a vector for each of its t positions, of which there are at most `context`.

    table: (context, dim), trained from N(0, 0.02) if kind is "learned", fixed waves if it is "sinusoidal".

    >>> Positions(8, 4, "sinusoidal")(Tensor([[0.0, 0.0, 0.0, 0.0]]))
    Tensor([[0., 1., 0., 1.]])
    """

    table: Tensor

    def __init__(
        self,
        context: int,
        dim: int,
        kind: Literal["learned", "sinusoidal"] = "learned",
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("learned", "sinusoidal"):
            raise ShapeError(f"Positions: kind {kind!r}; expected 'learned' or 'sinusoidal'")
        self.context, self.dim, self.kind = context, dim, kind
        if kind == "learned":
            self.table = init.normal((context, dim), 0.02, generator)
        else:
            self.register_buffer("table", sinusoidal(context, dim))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x + table[start : start + t]; `start` positions came before those of x.

        Raises ShapeError, which names x's shape, start and context, for a last axis that is not dim, for
        positions beyond the context, and for a start below 0.
        """
        if x.ndim < 2 or x.shape[-1] != self.dim or start < 0 or start + x.shape[-2] > self.context:
            raise ShapeError(
                f"Positions: x {x.shape} from position {start}; expected (..., t, {self.dim}) "
                f"with at most {self.context} positions in all"
            )
        return x + self.table[start : start + x.shape[-2]]

    def extra_repr(self) -> str:
        return f"{self.context}, {self.dim}, kind={self.kind!r}"
