"""What the checks of this lesson share: generators, small modules, and a note of who called an op."""

from __future__ import annotations

from typing import Any

from tinytorch import Tensor, observe
from tinytorch.nn.module import Module, Parameter
from tinytorch.random import Generator


def seeded(rng: Any) -> Generator:
    """A generator with a seed from the seed of the day."""
    return Generator(int(rng.integers(1, 2**40)))


class Scale(Module):
    """x * factor, with one parameter and one buffer."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = Parameter([factor])
        self.register_buffer("calls", Tensor([0, 0]))

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return x * self.factor


class Pair(Module):
    """Two scales and a weight of its own, assigned between them."""

    def __init__(self, left: Module | None = None, right: Module | None = None) -> None:
        super().__init__()
        self.left = left or Scale(2.0)
        self.weight = Parameter([[1.0, 2.0, 3.0]])
        self.right = right or Scale(3.0)

    def forward(self, x: Tensor) -> Tensor:
        """One after the other."""
        return self.right(self.left(x))


class Tied(Module):
    """Two scales with one factor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Scale(5.0), Scale(5.0)
        self.second.factor = self.first.factor


class _Watcher:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def on_op(self, event: Any) -> None:
        """Note where the op was called."""
        self.paths.append(event.path)

    def on_exit(self, tensor: Any, how: str) -> None:
        """Nothing to note."""


def paths_of(module: Module, x: Tensor) -> list[str]:
    """The names of the modules under which the ops of a call are filed."""
    watcher = _Watcher()
    with observe(watcher):
        module(x)
    return watcher.paths
