"""Layers: Linear, Dropout, Flatten, Identity, LayerNorm, RMSNorm."""

from __future__ import annotations

from tinytorch.errors import DataError, ShapeError
from tinytorch.nn import init
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops import norm
from tinytorch.ops.matmul import linear
from tinytorch.ops.shape import flatten
from tinytorch.random import Generator, default_generator
from tinytorch.tensor import Tensor, ones, zeros


class Linear(Module):
    """x @ weight^T + bias; x: (..., in_features), result (..., out_features).

    weight: (out_features, in_features), bias: (out_features,), both from U(-1, 1) / sqrt(in_features).

    >>> Linear(4, 3)(ones(2, 4)).shape
    (2, 3)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, generator: Generator | None = None
    ) -> None:
        """Keep both sizes, and draw `weight` and then `bias`, each by `init.fan_in_uniform`.

        Both have `in_features` as their fan-in and come from `generator`; `bias` is None if not wanted.
        Before anything is assigned, a module calls `super().__init__()`.
        """
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.fan_in_uniform((out_features, in_features), in_features, generator)
        self.bias = init.fan_in_uniform((out_features,), in_features, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


def dropout(x: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """x with each element zeroed with probability p and the others scaled by 1 / (1 - p), while training.

    x itself when not training or if p is 0; all zeros if p is 1. Shape and dtype stay. `rand(*sizes)` of
    `generator`, or of `default_generator` if that is None, draws from [0, 1): one number for each element.
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    Raises DataError, which names p, unless 0 <= p <= 1, also when not training.

    >>> dropout(ones(3), p=1.0)
    Tensor([0., 0., 0.])
    """
    if not 0 <= p <= 1:
        raise DataError(f"dropout: p is a probability between 0 and 1, not {p}")
    if not training or p == 0:
        return x
    kept = (generator or default_generator).rand(*x.shape) >= p
    scale = 1 / (1 - p) if p < 1 else 0.0
    return x * (kept.to(x.dtype) * scale)


class Dropout(Module):
    """Zeroes elements with probability p while training, and keeps their mean; see `dropout`.

    >>> Dropout(0.5).eval()(ones(3))
    Tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise DataError(f"Dropout: p is a probability between 0 and 1, not {p}")
        self.p, self.generator = p, generator

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Flatten(Module):
    """The axes from start_dim to end_dim made into one; by default all but the batch.

    >>> Flatten()(ones(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return flatten(x, self.start_dim, self.end_dim)


class Identity(Module):
    """x as it is.

    >>> Identity()(ones(2))
    Tensor([1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x


def _axes(name: str, normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or min(shape) < 1:
        raise ShapeError(f"{name}: normalized_shape is one positive size or more, not {normalized_shape}")
    return shape


class LayerNorm(Module):
    """The last axes normalised to mean 0 and variance 1, scaled by weight (1s) and shifted by bias (0s).

    x: (..., *normalized_shape). Ba, Kiros, Hinton, "Layer normalization", 2016.

    >>> LayerNorm(2)(Tensor([[1.0, 3.0]])).detach()
    Tensor([[-1.,  1.]])
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _axes("LayerNorm", normalized_shape), eps
        self.weight = Parameter(ones(self.normalized_shape))
        self.bias = Parameter(zeros(self.normalized_shape))

    def forward(self, x: Tensor) -> Tensor:
        return norm.layer_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class RMSNorm(Module):
    """The last axis divided by its root mean square, scaled by weight (1s); x: (..., normalized_shape).

    Zhang, Sennrich, "Root mean square layer normalization", 2019.

    >>> RMSNorm(2)(Tensor([[1.0, 7.0]])).detach()
    Tensor([[0.2, 1.4]])
    """

    def __init__(self, normalized_shape: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _axes("RMSNorm", normalized_shape), eps
        self.weight = Parameter(ones(self.normalized_shape))

    def forward(self, x: Tensor) -> Tensor:
        return norm.rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"
