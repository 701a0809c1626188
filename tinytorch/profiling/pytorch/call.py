"""A call of one of PyTorch's ops as shapes alone, and what a rule of its cost is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Sized(NamedTuple):
    """A tensor as rules see it: its shape, and bytes an element.

    >>> Sized((2, 3)).nbytes
    24
    """

    shape: tuple[int, ...]
    itemsize: int = 4

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self.itemsize


class Call(NamedTuple):
    """One call of an op: its results, and its arguments as PyTorch's schema orders and names them."""

    out: tuple[Sized, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def arg(self, place: int, default: Any = None) -> Any:
        """A positional argument; the default where the caller left it out."""
        return self.args[place] if len(self.args) > place else default

    @property
    def written(self) -> int:
        """Bytes of the results."""
        return sum(t.nbytes for t in self.out)

    @property
    def read(self) -> int:
        """Bytes of the arguments, but for a result that the caller hands in."""
        given = {name: value for name, value in self.kwargs.items() if name != "out"}
        return sum(t.nbytes for t in tensors((*self.args, *given.values())))


def tensors(value: Any) -> Iterator[Sized]:
    """The tensors in nested sequences, in order.

    >>> list(tensors((Sized((2,)), [Sized((3,)), 1.0], None)))
    [Sized(shape=(2,), itemsize=4), Sized(shape=(3,), itemsize=4)]
    """
    if isinstance(value, Sized):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


@dataclass(frozen=True)
class Rule:
    """FLOPs of a call, those of products and convolutions and all others; bytes, if not read and written."""

    products: Callable[[Call], int] = lambda call: 0
    others: Callable[[Call], int] = lambda call: 0
    moved: Callable[[Call], int] = lambda call: call.read + call.written
