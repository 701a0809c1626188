"""First values of parameters: PyTorch's defaults, drawn from a generator."""

from __future__ import annotations

import math

from tinytorch.nn.module import Parameter
from tinytorch.random import Generator, default_generator
from tinytorch.tensor import Tensor


def fan_in_uniform(shape: tuple[int, ...], fan_in: int, generator: Generator | None = None) -> Tensor:
    """A parameter from U(-b, b) with b = 1 / sqrt(fan_in): weights and biases of Linear and Conv2d.

    shape: sizes of the axes. fan_in: how many inputs one output sums over; 0 counts as 1. The numbers come
    from `generator`, or from `default_generator` if that is None: `uniform(low, high, shape)` draws a
    float32 tensor, and `Parameter` makes it one that asks for a gradient.

    >>> bool(abs(fan_in_uniform((3, 4), 4)).max() <= 0.5)
    True
    """
    bound = 1.0 / math.sqrt(max(fan_in, 1))
    return Parameter((generator or default_generator).uniform(-bound, bound, shape))


def normal(shape: tuple[int, ...], std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A parameter from the normal distribution of mean 0."""
    return Parameter((generator or default_generator).randn(*shape) * std)
