"""Generators of random tensors: explicit, seeded, with a state that can be stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.context import grad_mode, leave
from tinytorch.ops.elementwise import cos
from tinytorch.ops.random import Uniform
from tinytorch.ops.spec import as_dtype, float32, float64, int64
from tinytorch.tensor import Tensor, from_numpy


class Generator:
    """A stream of random numbers; `state` (int64: key, counter) is all there is to it.

    >>> a, b = Generator(7), Generator(7)
    >>> bool((a.rand(3) == b.rand(3)).data.all())
    True
    """

    def __init__(self, seed: int = 0) -> None:
        self.state = _start(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to `seed`, an integer of at most 63 bits."""
        self.state.assign_(_start(seed))
        return self

    def rand(self, *shape: int, dtype: Any = float32) -> Tensor:
        """Uniform numbers in [0, 1)."""
        with grad_mode(False):
            return Uniform(shape, as_dtype(dtype))(self.state)

    def uniform(self, low: float, high: float, shape: tuple[int, ...], dtype: Any = float32) -> Tensor:
        """Uniform numbers in [low, high)."""
        return self.rand(*shape, dtype=dtype) * (high - low) + low

    def randn(self, *shape: int, dtype: Any = float32) -> Tensor:
        """Normal numbers of mean 0 and variance 1, by Box and Muller's transform of two uniform ones."""
        with grad_mode(False):
            radius = ((1.0 - self.rand(*shape, dtype=float64)).log() * -2.0).sqrt()
            angle = self.rand(*shape, dtype=float64) * (2 * math.pi)
            return (radius * cos(angle)).to(dtype)

    def randint(self, low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        """Integers (int64) in [low, high); raises ShapeError for an empty range."""
        if high <= low:
            raise ShapeError(f"randint: [{low}, {high}) holds no integers")
        return (self.rand(*shape, dtype=float64) * float(high - low)).to(int64) + low

    def randperm(self, n: int) -> Tensor:
        """The integers 0 to n - 1 in random order."""
        return from_numpy(np.argsort(leave(self.rand(n, dtype=float64), "randperm"), kind="stable"))


def _start(seed: int) -> Tensor:
    if not -(2**63) <= seed < 2**63:
        raise DTypeError(f"seed: {seed} does not fit into an int64")
    return from_numpy(np.array([seed, 0], np.int64))


default_generator = Generator(0)


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew; layers and dropout draw from it unless given another."""
    return default_generator.manual_seed(seed)


def rand(*shape: int, dtype: Any = float32, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [0, 1).

    >>> rand(2, 3, generator=Generator(1)).shape
    (2, 3)
    """
    return (generator or default_generator).rand(*shape, dtype=dtype)


def randn(*shape: int, dtype: Any = float32, generator: Generator | None = None) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    return (generator or default_generator).randn(*shape, dtype=dtype)


def randint(low: int, high: int, shape: tuple[int, ...], generator: Generator | None = None) -> Tensor:
    """Integers (int64) in [low, high)."""
    return (generator or default_generator).randint(low, high, shape)


def randperm(n: int, generator: Generator | None = None) -> Tensor:
    """The integers 0 to n - 1 in random order."""
    return (generator or default_generator).randperm(n)
