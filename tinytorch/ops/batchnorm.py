"""Batch normalisation: each channel to mean 0 and variance 1 over the batch, with running statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.ops.base import Gradient, Op, Sample, registry
from tinytorch.ops.context import grad_mode
from tinytorch.ops.reduce import mean
from tinytorch.ops.spec import Array, Spec, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

COST = 8
"""FLOPs an element: mean, subtraction, square, sum, root and scale, weight, bias."""


def _others(x: Spec | Array | Tensor) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def _beside(channels: Any, x: Spec | Array | Tensor) -> Any:
    """One number for each channel, shaped to meet x: (n, c, ...)."""
    return channels.reshape(-1, *(1,) * (x.ndim - 2))


@dataclass
class BatchNorm(Op):
    """out = (x - mean) * rstd * weight + bias, mean and rstd = 1 / sqrt(var + eps) of each channel

    dx = rstd * weight * (g - mean(g) - xhat * mean(g * xhat)) with xhat = (x - mean) * rstd
    Gives mean and (biased) variance of each channel as further outputs.
    """

    eps: float = 1e-5
    outputs: ClassVar[int] = 3
    higher_order: ClassVar[str] = "composite"

    def infer(self, x: Spec, weight: Spec, bias: Spec) -> tuple[Spec, Spec, Spec]:
        _check(x, weight, bias)
        if math.prod(x.shape[i] for i in _others(x)) < 2:
            raise ShapeError(
                f"batch_norm: input {x.shape} has fewer than two values a channel, so there is no variance. "
                "Use a larger batch, or eval() for the running statistics."
            )
        channels = Spec(weight.shape, x.dtype)
        return Spec(x.shape, x.dtype), channels, channels

    def forward(self, x: Array, weight: Array, bias: Array) -> Any:
        """out, and the mean and the variance of each channel, (c,); all in the dtype of x: (n, c, ...).

        The variance is the mean of the squared distances from the mean (divided by n, not n - 1).
        """
        axes = _others(x)
        average = x.mean(axes)
        out = x - _beside(average, x)
        variance = np.square(out).mean(axes)
        out *= _beside(weight / np.sqrt(variance + x.dtype.type(self.eps)), x)
        out += _beside(bias, x)
        return out, average, variance

    def vjp(self, g: Tensor, out: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Gradient, ...]:
        return BatchNormGrad(self.eps).all(g, x, weight, out[1], out[2])

    def composite(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        axes = _others(x)
        centred = x - mean(x, axes, keepdims=True)
        rstd = (mean(centred * centred, axes, keepdims=True) + self.eps) ** -0.5
        out: Tensor = centred * rstd * _beside(weight, x) + _beside(bias, x)
        return out

    def flops(self, out: Any, x: Spec, weight: Spec, bias: Spec) -> int:
        return COST * x.size


@dataclass
class BatchNormGrad(Op):
    """dx, dweight, dbias of a batch norm from its kept mean and variance"""

    eps: float = 1e-5
    outputs: ClassVar[int] = 3

    def infer(self, g: Spec, x: Spec, weight: Spec, average: Spec, variance: Spec) -> tuple[Spec, Spec, Spec]:
        channels = Spec(weight.shape, x.dtype)
        return Spec(x.shape, x.dtype), channels, channels

    def forward(self, g: Array, x: Array, weight: Array, average: Array, variance: Array) -> Any:
        axes = _others(x)
        rstd = 1 / np.sqrt(variance + x.dtype.type(self.eps))
        share = x.dtype.type(1 / math.prod(x.shape[i] for i in axes))
        xhat = x - _beside(average, x)
        xhat *= _beside(rstd, x)
        dbias, dweight = g.sum(axes), (g * xhat).sum(axes)
        xhat *= _beside(-dweight * share, x)
        xhat += g
        xhat -= _beside(dbias * share, x)
        xhat *= _beside(rstd * weight, x)
        return xhat, dweight, dbias

    def flops(self, out: Any, g: Spec, x: Spec, weight: Spec, average: Spec, variance: Spec) -> int:
        return 2 * COST * x.size


def _check(x: Spec, *channels: Spec) -> None:
    require_float("batch_norm", x, *channels)
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: input {x.shape} is not (batch, channels, ...)")
    for spec in channels:
        if spec.shape != x.shape[1:2]:
            raise ShapeError(
                f"batch_norm: input {x.shape} has {x.shape[1]} channels; weight, bias and running statistics "
                f"are ({x.shape[1]},), not {spec.shape}"
            )


BatchNorm.samples = [
    Sample(BatchNorm(), (3, 2, 4, 3), (2,), (2,)),
    Sample(BatchNorm(1e-2), (4, 3), (3,), (3,)),
    Sample(BatchNorm(), (2, 0, 3, 3), (0,), (0,)),
]
BatchNormGrad.samples = [
    Sample(BatchNormGrad(1e-3), (3, 2, 2), (3, 2, 2), (2,), (2,), np.array([1.0, 0.5]), differentiable=False)
]


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """x: (batch, channels, ...), each channel normalised, times weight, plus bias, both (channels,).

    In training (or without running statistics) by the mean and biased variance of the batch; the running ones
    are moved towards them: running = (1 - momentum) * running + momentum * batch, with the unbiased variance.
    Otherwise by the running ones. Raises ShapeError (also for one value a channel in training), DTypeError.
    Ioffe, Szegedy, "Batch normalization", 2015.

    >>> from tinytorch.tensor import Tensor
    >>> batch_norm(Tensor([[1.0], [3.0]]), None, None, None, None, training=True, eps=0.0)
    Tensor([[-1.],
            [ 1.]])
    """
    affine = [t for t in (weight, bias, running_mean, running_var) if t is not None]
    _check(*(Spec(t.shape, t.dtype) for t in (x, *affine)))
    ones, zeros = np.ones(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    weight = registry.make(ones) if weight is None else weight
    bias = registry.make(zeros) if bias is None else bias
    if training or running_mean is None or running_var is None:
        out, average, variance = BatchNorm(eps).all(x, weight, bias)
        if training and running_mean is not None and running_var is not None:
            count = math.prod(x.shape[i] for i in _others(x))
            _move(running_mean, average, momentum)
            _move(running_var, variance * (count / (count - 1)), momentum)
        return out
    scale = weight * (running_var + eps) ** -0.5
    shifted: Tensor = x * _beside(scale, x) + _beside(bias - running_mean * scale, x)
    return shifted


def _move(running: Tensor, batch: Tensor, momentum: float) -> None:
    with grad_mode(False):
        running.assign_(running * (1 - momentum) + batch * momentum)
