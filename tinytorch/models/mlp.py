"""MLP: linear layers with ReLU between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tinytorch.errors import ShapeError
from tinytorch.nn.activations import ReLU
from tinytorch.nn.containers import Sequential
from tinytorch.nn.layers import Flatten, Linear
from tinytorch.nn.module import Module
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


class MLP(Module):
    """Logits from x: (batch, ...) flattened to sizes[0] features; result (batch, sizes[-1]).

    Raises ShapeError for fewer than two sizes.

    >>> MLP((4, 8, 3))(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 3)
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 128, 64, 10), *, generator: Generator | None = None
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ShapeError(
                f"MLP: sizes are those of the input, hidden layers and output, not {tuple(sizes)}"
            )
        self.sizes = tuple(sizes)
        self.flatten = Flatten()
        self.layers = Sequential()
        for inputs, outputs in pairwise(self.sizes):
            if len(self.layers):
                self.layers.append(ReLU())
            self.layers.append(Linear(inputs, outputs, generator=generator))
        self.example_input = Generator(0).rand(1, self.sizes[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.flatten(x))  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this architecture."""
        return {"sizes": list(self.sizes)}

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}"
