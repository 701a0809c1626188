"""Embedding: a row of a table for each integer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.nn import init
from tinytorch.nn.module import Module
from tinytorch.ops.base import Sample
from tinytorch.ops.index import Take
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
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = init.normal((num_embeddings, embedding_dim), 1.0, generator)

    def forward(self, ids: Tensor) -> Tensor:
        return embedding(ids, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
