"""From numbers to codes: whole steps of a scale, by fixed ranges, by row, and as training sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.compare import where
from tinytorch.ops.spec import Array, DType, Spec, broadcast, int8, int32, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

LARGEST = 127
"""The largest code of int8 that has a negative: -128 is left out, so that codes of x and -x are opposite."""
TINY = 2.0**-100
"""Rows whose largest number is smaller count as zero: a scale below would overflow what is divided by it."""

_quiet = np.errstate(all="ignore")


def require_dtype(op: str, what: str, spec: Spec, dtype: DType) -> None:
    """Raise DTypeError, which names op and operand, unless the spec has this dtype."""
    if spec.dtype != dtype:
        raise DTypeError(f"{op}: {what} is {spec.dtype}; it takes {dtype}")


def _require_grid(op: str, x: Spec, scale: Spec, zero: Spec | None) -> None:
    require_float(op, x, scale)
    shapes = [scale.shape]
    if zero is not None:
        require_dtype(op, "zero", zero, int32)
        shapes.append(zero.shape)
    if broadcast(op, x.shape, *shapes) != x.shape:
        raise ShapeError(f"{op}: scale and zero point {' and '.join(map(str, shapes))} for x {x.shape}")


@dataclass
class Quantize(Op):
    """code = round(x / scale) + zero, kept within low .. high, as int8

    scale and zero (int32, left out where it is 0) broadcast to x. Halves go to even codes, and what is no
    number gets the code of 0.
    """

    low: int = -LARGEST
    high: int = LARGEST

    def infer(self, x: Spec, scale: Spec, zero: Spec | None = None) -> Spec:
        _require_grid("quantize", x, scale, zero)
        return Spec(x.shape, int8)

    @_quiet
    def forward(self, x: Array, scale: Array, zero: Array | None = None) -> Any:
        """int8 codes of x, of its shape; `np.rint` rounds halves to even.

        code = rint(x / scale) + zero, clipped to self.low .. self.high, both within int8. Where x is NaN the
        code is that of 0, which is zero itself. scale: in the dtype of x, zero: int32 or None for 0.
        """
        code = np.rint(x / scale)
        if zero is not None:
            code += zero.astype(x.dtype)
        code = np.clip(code, self.low, self.high)
        nothing = 0 if zero is None else zero
        return np.where(np.isnan(code), nothing, code).astype(np.int8)

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return 2 * out.size


class QuantizeRows(Op):
    """codes = round(x / scale) with scale = the largest |x| of each row / 127: a scale for each row

    Two outputs: codes int8 (..., k) and scales (..., 1). A row of zeros has scale 1. A row that holds
    NaN or infinity has scale NaN and codes 0, so that all that is computed from it is NaN too.
    """

    outputs = 2
    samples: ClassVar[Any] = [
        Sample(None, np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]], np.float32), differentiable=False),
        Sample(None, np.zeros((0, 4), np.float32), differentiable=False),
        Sample(None, np.array([[[-3.0, 1e-30]], [[np.inf, 1.0]]], np.float32), differentiable=False),
    ]

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        require_float("quantize_rows", x)
        if x.ndim < 1 or x.shape[-1] == 0:
            raise ShapeError(f"quantize_rows: x {x.shape}: there is no row to take the largest number of")
        return Spec(x.shape, int8), Spec((*x.shape[:-1], 1), x.dtype)

    @_quiet
    def forward(self, x: Array) -> Any:
        """(codes, scales) of the rows of x: (..., k), floats: int8 (..., k), and (..., 1) in the dtype of x.

        The scale of a row is its largest |x| / LARGEST; 1 where the largest is below TINY, NaN where it is no
        finite number. codes = rint(x / scale), and 0 where the scale is NaN.
        """
        largest = np.abs(x).max(-1, keepdims=True)
        scale = np.where(largest < TINY, x.dtype.type(1), largest / x.dtype.type(LARGEST))
        scale = np.where(np.isfinite(largest), scale, x.dtype.type(np.nan))
        code = np.rint(x / scale)
        return np.where(np.isnan(code), 0, code).astype(np.int8), scale

    def flops(self, out: Any, x: Spec) -> int:
        return 4 * x.size


@dataclass
class FakeQuantize(Op):
    """out = (code - zero) * scale, what a code keeps of x.   dx = g within the range, else 0

    The gradient passes straight through rounding, which has none of its own: Bengio, Leonard, Courville,
    "Estimating or propagating gradients through stochastic neurons", 2013.
    """

    low: int = -LARGEST
    high: int = LARGEST
    keeps: ClassVar[Any] = (0, 1, 2)

    def infer(self, x: Spec, scale: Spec, zero: Spec) -> Spec:
        _require_grid("fake_quantize", x, scale, zero)
        return x

    @_quiet
    def forward(self, x: Array, scale: Array, zero: Array) -> Any:
        """x rounded to the grid: (code - zero) * scale with the codes of `Quantize`; NaN stays NaN.

        code = rint(x / scale) + zero, clipped to self.low .. self.high. The result has the dtype of x.
        """
        shift = zero.astype(x.dtype)
        return (np.clip(np.rint(x / scale) + shift, self.low, self.high) - shift) * scale

    def vjp(self, g: Tensor, out: Spec, x: Tensor, scale: Tensor, zero: Tensor) -> tuple[Gradient, ...]:
        """(gradient of x, None, None) from g, that of the result: g where x lies within the range, else 0.

        Within the range is what is rounded but not clipped: low - 0.5 <= x / scale + zero <= high + 0.5.
        """
        code = x / scale + zero.to(x.dtype)
        inside = (code >= self.low - 0.5) & (code <= self.high + 0.5)
        return where(inside, g, 0.0), None, None

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return 4 * out.size


_X = np.array([[0.4, -0.6, 3.0], [-200.0, 1.0, 0.2]], np.float32)
Quantize.samples = [
    Sample(Quantize(), _X, np.array([0.5], np.float32), differentiable=False),
    Sample(Quantize(-128, 127), _X, np.array([0.05], np.float32), np.int32(-28), differentiable=False),
    Sample(Quantize(-7, 7), _X, np.array([[0.1], [20.0]], np.float32), differentiable=False),
]
FakeQuantize.samples = [
    Sample(FakeQuantize(), _X, np.array([0.5], np.float32), np.int32(3), differentiable=False)
]

_rows = QuantizeRows()


def quantize(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, low: int = -LARGEST, high: int = LARGEST
) -> Tensor:
    """int8 codes of x: round(x / scale) + zero, within low .. high; scale and zero broadcast to x.

    Raises DTypeError unless x and scale are floats of one dtype and zero is int32.

    >>> quantize(tt.Tensor([0.4, -1.0, 99.0]), tt.Tensor(0.5))
    Tensor([  1,  -2, 127], dtype=int8)
    """
    op = Quantize(low, high)
    return op(x, scale) if zero is None else op(x, scale, zero)


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes of x: (..., k), and for each row its scale, (..., 1): its largest |x| / 127.

    >>> codes, scale = quantize_rows(tt.Tensor([[1.0, -2.0], [0.0, 0.0]]))
    >>> codes
    Tensor([[  64, -127],
            [   0,    0]], dtype=int8)
    """
    codes, scale = _rows.all(x)
    return codes, scale


def fake_quantize(x: Tensor, scale: Tensor, zero: Tensor, low: int = -LARGEST, high: int = LARGEST) -> Tensor:
    """x rounded to the numbers that have codes; its gradient passes as if it had not been, within the range.

    >>> fake_quantize(tt.Tensor([0.4, -1.0]), tt.Tensor(0.5), tt.Tensor(0, dtype="int32"))
    Tensor([ 0.5, -1. ])
    """
    return FakeQuantize(low, high)(x, scale, zero)
