"""Pages of keys and values: taken one at a time, shared by several caches, and given back."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytorch.errors import CacheError
from tinytorch.ops.context import grad_mode
from tinytorch.ops.spec import Array, DType, as_dtype, float16, float32, int8
from tinytorch.tensor import Tensor, from_numpy

DTYPES: tuple[DType, ...] = (float32, float16, int8)
"""What keys and values may be kept in."""


class PagePool:
    """Memory for `pages` pages of `page` positions in all layers, each with a count of who uses it.

    `keys` and `values` hold a tensor for each layer, (kv_heads, pages, head_dim, page) and (kv_heads, pages,
    page, head_dim), and `exponents` in int8 two for each: see `tinytorch.ops.paged`. The memory is reserved
    at once, but the system gives it only when it is written to, so that what is resident follows the pages
    in use.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, pages: int, page: int = 64, dtype: Any = "float32"
    ) -> None:
        self.layers, self.kv_heads, self.head_dim = layers, kv_heads, head_dim
        self.pages, self.page, self.dtype = pages, page, as_dtype(dtype)
        if self.dtype not in DTYPES:
            raise CacheError(f"cache: dtype {self.dtype}; choose from {', '.join(map(str, DTYPES))}")
        if min(layers, kv_heads, head_dim, pages, page) < 1:
            raise CacheError(
                f"cache: {layers} layers, {kv_heads} heads, {head_dim} features, {pages} pages of {page}; "
                "each must be at least 1"
            )
        lead = (kv_heads, pages)
        self.keys = [self._zeros(*lead, head_dim, page) for _ in range(layers)]
        self.values = [self._zeros(*lead, page, head_dim) for _ in range(layers)]
        self.exponents: list[tuple[Tensor, ...]] = [
            tuple(self._zeros(*lead, page) for _ in range(2 * (self.dtype == int8))) for _ in range(layers)
        ]
        self.users: Array = np.zeros(pages, np.int64)
        self._free = list(range(pages))
        """A heap: the lowest number goes first, since memory is read fastest in the order of addresses."""

    def _zeros(self, *shape: int) -> Tensor:
        return from_numpy(np.zeros(shape, self.dtype))

    @property
    def page_bytes(self) -> int:
        """Bytes of a page in all layers."""
        vector = self.head_dim * self.dtype.itemsize + (self.dtype == int8)
        return 2 * self.layers * self.kv_heads * self.page * vector

    @property
    def free(self) -> int:
        """Pages that nobody uses."""
        return len(self._free)

    def tensors(self, layer: int) -> tuple[Tensor, ...]:
        """All of a layer: keys, values, and in int8 their exponents."""
        return self.keys[layer], self.values[layer], *self.exponents[layer]

    def require(self, count: int) -> None:
        """Raise CacheError unless so many pages are free."""
        if count > len(self._free):
            raise CacheError(
                f"cache: {self.free} of {self.pages} pages of {self.page} positions free, {count} needed; "
                "the others are in use. Truncate, drop a fork, or make the cache with a larger capacity or "
                "more forks"
            )

    def take(self) -> int:
        """The number of a free page, used once from now on; raises CacheError where there is none."""
        self.require(1)
        number = heapq.heappop(self._free)
        self.users[number] = 1
        return number

    def share(self, numbers: Iterable[int]) -> None:
        """Count one more user of each page."""
        for number in numbers:
            self.users[number] += 1

    def release(self, numbers: Iterable[int]) -> None:
        """Count one user less of each page; one without any is free."""
        for number in numbers:
            self.users[number] -= 1
            if not self.users[number]:
                heapq.heappush(self._free, number)

    def own(self, number: int) -> int:
        """The page itself if nobody else uses it, or a copy of it, of which the caller is the one user."""
        if self.users[number] == 1:
            return number
        fresh = self.take()
        self.release([number])
        with grad_mode(False):
            for layer in range(self.layers):
                for tensor in self.tensors(layer):
                    tensor.assign_(tensor[:, number], at=(slice(None), fresh))
        return fresh

    def pages_for(self, positions: int) -> int:
        """How many pages hold so many positions."""
        return math.ceil(positions / self.page)
