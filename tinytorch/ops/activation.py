"""Activations beyond ReLU: GELU, fused in its tanh form, and SiLU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DataError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.elementwise import erf, sigmoid, tanh
from tinytorch.ops.spec import Array, Spec, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

_ROOT = float(np.sqrt(2 / np.pi))
_CUBIC = 0.044715
_BLOCK = 32768
"""Elements handled at a time, so that a chain of passes stays in the cache: 128 KiB of float32."""


class GeluTanh(Op):
    """out = x * s with s = (1 + tanh(u)) / 2, u = sqrt(2/pi) * (x + 0.044715 x^3).   dx = g * (s + x * ds/dx)

    Keeps s, for ds/dx = 2 s (1 - s) du/dx, and takes it as 1 / (1 + e^-2u), which loses no digits where s
    is small. Hendrycks, Gimpel, "Gaussian error linear units", 2016.
    """

    fuses: ClassVar[tuple[str, ...]] = ("Add", "Mul", "Tanh")
    outputs = 2
    higher_order = "composite"
    samples: ClassVar[Any] = [((3, 4),), ((0, 4),), ((),)]

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        require_float("gelu", x)
        return Spec(x.shape, x.dtype), Spec(x.shape, x.dtype)

    @np.errstate(all="ignore")
    def forward(self, x: Array) -> Any:
        """A pair: x * s, and s, both of the shape and dtype of x; x stays as it is.

        s = (1 + tanh(u)) / 2 = 1 / (1 + e ** -2u) with u = sqrt(2/pi) * (x + 0.044715 x^3); the module has
        these constants as `_ROOT` and `_CUBIC`. For large x of either sign s is 1 or 0.
        """
        flat = x.reshape(-1)
        out, s = np.empty_like(flat), np.empty_like(flat)
        for start in range(0, flat.size, _BLOCK):
            here = slice(start, start + _BLOCK)
            piece, t = flat[here], s[here]
            np.multiply(piece, piece, out=t)
            t *= -2 * _CUBIC * _ROOT
            t -= 2 * _ROOT
            t *= piece
            np.exp(t, out=t)
            t += 1
            np.reciprocal(t, out=t)
            np.multiply(piece, t, out=out[here])
        return out.reshape(x.shape), s.reshape(x.shape)

    def vjp(self, g: Tensor, out: Any, x: Tensor) -> tuple[Gradient, ...]:
        return (GeluTanhGrad()(g, x, out[1]),)

    def composite(self, x: Tensor) -> Tensor:
        return x * 0.5 * (tanh((x + x * x * x * _CUBIC) * _ROOT) + 1.0)

    def flops(self, out: Any, x: Spec) -> int:
        return 14 * x.size


class GeluTanhGrad(Op):
    """dx = g * (s + x * 2 s (1 - s) du/dx)"""

    samples: ClassVar[Any] = [Sample(None, (3, 4), (3, 4), (3, 4), low=0.1, high=0.9, differentiable=False)]

    numpy_checks = True

    def infer(self, g: Spec, x: Spec, s: Spec) -> Spec:
        return Spec(x.shape, x.dtype)

    def forward(self, g: Array, x: Array, s: Array) -> Any:
        g1, x1, s1 = g.reshape(-1), x.reshape(-1), s.reshape(-1)
        out = np.empty_like(x1)
        scratch = np.empty(min(_BLOCK, x1.size), x.dtype)
        for start in range(0, x1.size, _BLOCK):
            here = slice(start, start + _BLOCK)
            piece, d = x1[here], out[here]
            rest = scratch[: piece.size]
            np.multiply(piece, piece, out=d)
            d *= 6 * _CUBIC * _ROOT
            d += 2 * _ROOT
            d *= piece
            np.subtract(1, s1[here], out=rest)
            d *= rest
            d += 1
            d *= s1[here]
            d *= g1[here]
        return out.reshape(x.shape)

    def flops(self, out: Spec, g: Spec, x: Spec, s: Spec) -> int:
        return 9 * x.size


_gelu_tanh = GeluTanh()


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x, which is (1 + erf(x / sqrt(2))) / 2.

    `approximate`: "none", or "tanh" for the form that GPT-2 uses, which the op `_gelu_tanh`, called with x,
    computes. Raises DataError, which names it, for anything else.

    >>> gelu(tt.Tensor([-1.0, 1.0]), "tanh")
    Tensor([-0.1588,  0.8412])
    """
    if approximate == "tanh":
        return _gelu_tanh(x)
    if approximate != "none":
        raise DataError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return x * 0.5 * (erf(x * float(np.sqrt(0.5))) + 1.0)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), out of ops, so that gradients flow.

    >>> silu(tt.Tensor([-1.0, 1.0]))
    Tensor([-0.2689,  0.7311])
    """
    return x * sigmoid(x)
