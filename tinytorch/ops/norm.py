"""Normalisation over the last axes: layer norm, fused, and RMS norm, composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.reduce import mean
from tinytorch.ops.spec import Array, Spec, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

COST = 8
"""FLOPs an element of a layer norm: mean, subtraction, square, sum, root and scale, weight, bias."""


def _mean_weights(rows: Array) -> Array:
    """A column of 1/n: BLAS takes a mean of rows in half the time of NumPy's."""
    return np.full((rows.shape[1], 1), 1 / rows.shape[1], rows.dtype)


@dataclass
class LayerNorm(Op):
    """out = (x - mean) * rstd * weight + bias over the axes of weight; rstd = 1 / sqrt(var + eps)

    dx = rstd * (gw - mean(gw) - xhat * mean(gw * xhat)) with gw = g * weight, xhat = (x - mean) * rstd
    Keeps mean and rstd of each row. Ba, Kiros, Hinton, "Layer normalization", 2016.
    """

    eps: float = 1e-5
    keeps: ClassVar[Any] = (0, 1, 2)
    outputs: ClassVar[int] = 3
    fuses: ClassVar[tuple[str, ...]] = ("Add", "Mean", "Mul", "Pow", "Sub")
    higher_order: ClassVar[str] = "composite"

    def infer(self, x: Spec, weight: Spec, bias: Spec) -> tuple[Spec, Spec, Spec]:
        require_float("layer_norm", x, weight, bias)
        inner = weight.ndim
        if bias.shape != weight.shape or inner == 0 or x.shape[-inner:] != weight.shape or weight.size == 0:
            raise ShapeError(
                f"layer_norm: input {x.shape} does not end like weight {weight.shape} and bias {bias.shape}"
            )
        rows = Spec((x.size // weight.size, 1), x.dtype)
        return Spec(x.shape, x.dtype), rows, rows

    def forward(self, x: Array, weight: Array, bias: Array) -> Any:
        """(out, mean, rstd) for x: (..., *axes of weight), each in the dtype of x; x stays as it is.

        A row is what lies along the last `weight.ndim` axes: `weight.size` elements. out, of the shape of
        x, is (x - mean) * rstd * weight + bias with rstd = 1 / sqrt(variance + self.eps), the variance being
        the mean of the squared distances from the mean. mean and rstd: (rows, 1), kept for backward.
        A large mean must cost no digits, so take it away before squaring.
        """
        x2 = x.reshape(-1, weight.size)
        average = x2 @ _mean_weights(x2)
        out = x2 - average
        rstd = np.einsum("ij,ij->i", out, out)[:, None]
        rstd *= x.dtype.type(1 / weight.size)
        rstd += x.dtype.type(self.eps)
        np.divide(1, np.sqrt(rstd), out=rstd)
        out *= rstd
        out *= weight.reshape(-1)
        out += bias.reshape(-1)
        return out.reshape(x.shape), average, rstd

    def vjp(self, g: Tensor, out: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Gradient, ...]:
        return LayerNormGrad().all(g, x, weight, out[1], out[2])

    def composite(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        axes = tuple(range(-weight.ndim, 0))
        centred = x - mean(x, axes, keepdims=True)
        rstd = (mean(centred * centred, axes, keepdims=True) + self.eps) ** -0.5
        return centred * rstd * weight + bias

    def flops(self, out: Any, x: Spec, weight: Spec, bias: Spec) -> int:
        return COST * x.size


class LayerNormGrad(Op):
    """dx, dweight, dbias of a layer norm from its kept mean and rstd"""

    outputs = 3
    samples: ClassVar[Any] = [
        Sample(None, (3, 4), (3, 4), (4,), (3, 1), np.array([[1.0], [0.5], [2.0]]), differentiable=False)
    ]

    numpy_checks = True

    def infer(self, g: Spec, x: Spec, weight: Spec, average: Spec, rstd: Spec) -> tuple[Spec, Spec, Spec]:
        return Spec(x.shape, x.dtype), Spec(weight.shape, x.dtype), Spec(weight.shape, x.dtype)

    def forward(self, g: Array, x: Array, weight: Array, average: Array, rstd: Array) -> Any:
        g2, n = g.reshape(-1, weight.size), weight.size
        xhat = x.reshape(-1, n) - average
        xhat *= rstd
        scratch = g2 * xhat
        dweight = scratch.sum(0).reshape(weight.shape)
        dbias = g2.sum(0).reshape(weight.shape)
        dx = g2 * weight.reshape(-1)
        mean_gw = dx @ _mean_weights(dx)
        mean_gw_xhat = np.einsum("ij,ij->i", dx, xhat)[:, None]
        mean_gw_xhat *= x.dtype.type(1 / n)
        dx -= mean_gw
        xhat *= mean_gw_xhat
        dx -= xhat
        dx *= rstd
        return dx.reshape(x.shape), dweight, dbias

    def flops(self, out: Any, g: Spec, x: Spec, weight: Spec, average: Spec, rstd: Spec) -> int:
        return 2 * COST * x.size


LayerNorm.samples = [
    Sample(LayerNorm(), (3, 4), (4,), (4,)),
    Sample(LayerNorm(1e-3), (2, 3, 4), (3, 4), (3, 4)),
    Sample(LayerNorm(), (0, 4), (4,), (4,)),
]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """x normalised to mean 0 and variance 1 over the axes of `weight` (the last of x), scaled and shifted.

    >>> layer_norm(tt.Tensor([[1.0, 3.0]]), tt.ones(2), tt.zeros(2))
    Tensor([[-1.,  1.]])
    """
    return LayerNorm(eps)(x, weight, bias)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """x divided by its root mean square over the last axis, scaled by `weight`.

    Zhang, Sennrich, "Root mean square layer normalization", 2019.

    >>> rms_norm(tt.Tensor([[3.0, 4.0]]), tt.ones(2))
    Tensor([[0.8485, 1.1314]])
    """
    if weight.ndim != 1 or x.shape[-1:] != weight.shape:
        raise ShapeError(f"rms_norm: input {x.shape} does not end in the shape of weight {weight.shape}")
    return x * (mean(x * x, -1, keepdims=True) + eps) ** -0.5 * weight
