"""Activation functions as modules."""

from __future__ import annotations

from tinytorch.errors import DataError
from tinytorch.nn.module import Module
from tinytorch.ops.activation import gelu, silu
from tinytorch.ops.elementwise import relu, sigmoid, tanh
from tinytorch.ops.softmax import softmax
from tinytorch.tensor import Tensor


class ReLU(Module):
    """max(x, 0).

    >>> ReLU()(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


class GELU(Module):
    """x * P(X <= x) for a standard normal X; "tanh" is the faster approximation that GPT-2 uses.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016. Raises DataError for another `approximate`.

    >>> GELU()(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise DataError(f"GELU: approximate is 'none' or 'tanh', not {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x * sigmoid(x).

    >>> SiLU()(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.7311])
    """

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> Tanh()(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.7616])
    """

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class Sigmoid(Module):
    """1 / (1 + e ** -x).

    >>> Sigmoid()(Tensor([0.0, 1.0]))
    Tensor([0.5   , 0.7311])
    """

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x)


class Softmax(Module):
    """e ** x over its sum along `dim`: positive numbers that sum to 1.

    >>> Softmax()(Tensor([[0.0, 0.0]]))
    Tensor([[0.5, 0.5]])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
