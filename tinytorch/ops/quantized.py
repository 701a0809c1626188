"""Layers on codes: an exact product of int8 or four-bit codes, and what it stands for in float32.

x is codes with a scale for each row, or one for all; w is codes with a scale for each output, or one for all,
or with four bits one for each group of inputs. Where the codes of x have a zero point, what that adds to each
sum is taken off again, in int32. These ops have no gradient: training rounds in float32 (`FakeQuantize`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.conv import Convolution
from tinytorch.ops.integer import GroupMatMul, IntConv2d, IntMatMul, require_groups, unpack_nibbles
from tinytorch.ops.quantize import require_dtype
from tinytorch.ops.spec import Array, Spec, int8, int32, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

_int_matmul, _group_matmul = IntMatMul(), GroupMatMul()


def _require_scales(op: str, x_scale: Spec, rows: tuple[int, ...], w_scale: Spec, n: int) -> None:
    require_float(op, x_scale, w_scale)
    if x_scale.shape not in ((), rows):
        raise ShapeError(f"{op}: the scale of x is {x_scale.shape}; expected () or {rows}")
    if w_scale.shape not in ((), (n,)):
        raise ShapeError(f"{op}: the scale of w is {w_scale.shape}; expected () or ({n},)")


def _require_zero(op: str, zero: Spec | None) -> None:
    if zero is not None:
        require_dtype(op, "the zero point of x", zero, int32)
        if zero.shape:
            raise ShapeError(f"{op}: the zero point of x is {zero.shape}; expected one number, ()")


class LinearInt8(Op):
    """out = (x @ w^T - zero * the sum of each row of w) * scale of x * scale of w, the bracket in int32

    x: int8 (..., k), its scale: (..., 1) or (), w: int8 (n, k), its scale: (n,) or (), zero: int32 () or left
    out; out: (..., n), in the dtype of the scales.
    """

    samples: ClassVar[Any] = [
        Sample(
            None,
            np.array([[1, -2, 3], [-128, 127, 0]], np.int8),
            np.array([[0.5], [0.1]], np.float32),
            np.array([[4, 5, 6], [-127, -128, 9]], np.int8),
            np.array([0.25, 2.0], np.float32),
            differentiable=False,
        ),
        Sample(
            None,
            np.full((2, 2, 5), 7, np.int8),
            np.full((2, 2, 1), 0.1),
            np.full((3, 5), -128, np.int8),
            np.full(3, 0.5),
            np.int32(-128),
            differentiable=False,
        ),
    ]

    def infer(self, x: Spec, x_scale: Spec, w: Spec, w_scale: Spec, zero: Spec | None = None) -> Spec:
        out = _int_matmul.infer(x, w)
        _require_scales("linear_int8", x_scale, (*x.shape[:-1], 1), w_scale, w.shape[0])
        _require_zero("linear_int8", zero)
        return Spec(out.shape, x_scale.dtype)

    def forward(self, x: Array, x_scale: Array, w: Array, w_scale: Array, zero: Array | None = None) -> Any:
        """(..., n): the exact product, without what the zero point adds, times both scales."""
        total = _int_matmul.forward(x, w)
        if zero is not None:
            total = total - zero * w.sum(1, dtype=np.int32)
        return total.astype(x_scale.dtype) * x_scale * w_scale

    def matmul_flops(self, out: Spec, x: Spec, x_scale: Spec, w: Spec, *rest: Spec) -> int:
        return 2 * out.size * w.shape[1]

    def flops(self, out: Spec, x: Spec, x_scale: Spec, w: Spec, *rest: Spec) -> int:
        return self.matmul_flops(out, x, x_scale, w) + 2 * out.size


class LinearInt4(Op):
    """out = the sum over groups of (x @ w^T, exact) * scale of w for the group, times the scale of x

    x: int8 (..., k), its scale: (..., 1) or (), w: nibbles (n, k / 2), its scales: (n, groups); out: (..., n)
    """

    samples: ClassVar[Any] = [
        Sample(
            None,
            np.arange(-8, 8, dtype=np.int8).reshape(2, 8),
            np.array([[0.5], [0.1]], np.float32),
            np.arange(-8, 4, dtype=np.int8).reshape(3, 4),
            np.array([[0.25, 2.0], [1.0, 0.5], [0.125, 3.0]], np.float32),
            differentiable=False,
        ),
    ]

    def infer(self, x: Spec, x_scale: Spec, w: Spec, w_scale: Spec) -> Spec:
        out = _group_matmul.infer(x, w, w_scale)
        _require_scales("linear_int4", x_scale, (*x.shape[:-1], 1), Spec((), w_scale.dtype), w.shape[0])
        return out

    def forward(self, x: Array, x_scale: Array, w: Array, w_scale: Array) -> Any:
        """(..., n): for each group an exact product times its scales, summed, times the scale of x."""
        return _group_matmul.forward(x, w, w_scale) * x_scale

    def matmul_flops(self, out: Spec, x: Spec, *rest: Spec) -> int:
        return 2 * out.size * x.shape[-1]

    def flops(self, out: Spec, x: Spec, x_scale: Spec, w: Spec, w_scale: Spec) -> int:
        return self.matmul_flops(out, x) + out.size * (2 * w_scale.shape[1] + 1)


@dataclass
class Conv2dInt8(Convolution):
    """out = (x correlated with each filter of w - zero * what ones would give) * scale of x * scale of w

    x: int8 (n, c, h, w), its scale: (n, 1, 1, 1) or (), w: int8 (o, c / groups, kh, kw), its scale: (o,) or
    (), zero: int32 () or left out; out: (n, o, oh, ow). Padding stands for 0.0, whatever the zero point is.
    """

    def infer(self, x: Spec, x_scale: Spec, w: Spec, w_scale: Spec, zero: Spec | None = None) -> Spec:
        out = IntConv2d(*self._geometry()).infer(x, w)
        _require_scales("conv2d_int8", x_scale, (x.shape[0], 1, 1, 1), w_scale, w.shape[0])
        _require_zero("conv2d_int8", zero)
        return Spec(out.shape, x_scale.dtype)

    def forward(self, x: Array, x_scale: Array, w: Array, w_scale: Array, zero: Array | None = None) -> Any:
        """(n, o, oh, ow): exact sums, without what the zero point adds, times both scales."""
        convolve = IntConv2d(*self._geometry())
        total = convolve.forward(x, w)
        if zero is not None:
            total = total - zero * convolve.forward(np.ones((1, *x.shape[1:]), np.int8), w)
        return total.astype(x_scale.dtype) * x_scale * w_scale.reshape(-1, 1, 1)

    def matmul_flops(self, out: Spec, x: Spec, x_scale: Spec, w: Spec, *rest: Spec) -> int:
        return 2 * out.size * w.size // max(w.shape[0], 1)

    def flops(self, out: Spec, x: Spec, x_scale: Spec, w: Spec, *rest: Spec) -> int:
        return self.matmul_flops(out, x, x_scale, w) + 2 * out.size


class LookupInt8(Op):
    """out = codes[ids] * scale[ids]; codes: int8 (rows, dim), scale: (rows, 1); ids from 0 on"""

    samples: ClassVar[Any] = [
        Sample(
            None,
            np.array([[1, -2], [127, 3], [0, 5]], np.int8),
            np.array([[0.5], [0.1], [2.0]], np.float32),
            np.array([[0, 2], [1, 1]]),
            differentiable=False,
        ),
    ]

    def infer(self, codes: Spec, scale: Spec, ids: Spec) -> Spec:
        _require_table("lookup_int8", codes, scale, ids)
        if scale.shape[1] != 1:
            raise ShapeError(f"lookup_int8: codes {codes.shape} and scale {scale.shape}; expected (rows, 1)")
        return Spec((*ids.shape, codes.shape[1]), scale.dtype)

    def forward(self, codes: Array, scale: Array, ids: Array) -> Any:
        """(*ids.shape, dim): the codes of each id's row times that row's scale; raises ShapeError."""
        _check_ids(ids, len(codes))
        return codes[ids].astype(scale.dtype) * scale[ids]

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return out.size

    def bytes(self, out: Spec, codes: Spec, scale: Spec, ids: Spec) -> int:
        return ids.nbytes + ids.size * (codes.shape[1] + 4 * scale.shape[1]) + out.nbytes


class LookupInt4(Op):
    """out = codes[ids] * scale[ids] by groups; codes: nibbles (rows, dim / 2), scale: (rows, groups)"""

    samples: ClassVar[Any] = [
        Sample(
            None,
            np.arange(-8, 4, dtype=np.int8).reshape(3, 4),
            np.array([[0.5, 1.0], [0.1, 2.0], [2.0, 0.25]], np.float32),
            np.array([[0, 2], [1, 1]]),
            differentiable=False,
        ),
    ]

    def infer(self, codes: Spec, scale: Spec, ids: Spec) -> Spec:
        _require_table("lookup_int4", codes, scale, ids)
        require_groups("lookup_int4", codes, scale)
        return Spec((*ids.shape, 2 * codes.shape[1]), scale.dtype)

    def forward(self, codes: Array, scale: Array, ids: Array) -> Any:
        """(*ids.shape, dim): the codes of each id's row, each group times its scale; raises ShapeError."""
        _check_ids(ids, len(codes))
        rows = unpack_nibbles(codes[ids]).astype(scale.dtype)
        each = rows.reshape(*ids.shape, scale.shape[1], 2 * codes.shape[1] // scale.shape[1])
        return (each * scale[ids][..., None]).reshape(rows.shape)

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return out.size

    def bytes(self, out: Spec, codes: Spec, scale: Spec, ids: Spec) -> int:
        return ids.nbytes + ids.size * (codes.shape[1] + 4 * scale.shape[1]) + out.nbytes


def _require_table(op: str, codes: Spec, scale: Spec, ids: Spec) -> None:
    require_dtype(op, "the table", codes, int8)
    require_float(op, scale)
    if ids.dtype.kind != "i":
        raise DTypeError(f"{op}: ids are integers, not {ids.dtype}")
    if codes.ndim != 2 or scale.ndim != 2 or scale.shape[0] != codes.shape[0]:
        raise ShapeError(
            f"{op}: codes {codes.shape} and scale {scale.shape}; expected a row of each for an id"
        )


def _check_ids(ids: Array, rows: int) -> None:
    if ids.size and not 0 <= ids.min() <= ids.max() < rows:
        worst = ids.min() if ids.min() < 0 else ids.max()
        raise ShapeError(f"embedding: id {worst} is out of range for {rows} rows (0 to {rows - 1})")


_IMAGE = (np.arange(72) % 19 - 9).astype(np.int8)
Conv2dInt8.samples = [
    Sample(
        Conv2dInt8((1, 1), (1, 1)),
        _IMAGE.reshape(1, 2, 6, 6),
        np.array([[[[0.5]]]], np.float32),
        _IMAGE[:54].reshape(3, 2, 3, 3),
        np.array([0.1, 0.2, 0.3], np.float32),
        differentiable=False,
    ),
    Sample(
        Conv2dInt8((2, 1), (0, 1), (1, 2), 2),
        _IMAGE.reshape(1, 4, 3, 6),
        np.full((1, 1, 1, 1), 0.5),
        _IMAGE[:16].reshape(4, 2, 1, 2),
        np.full(4, 2.0),
        np.int32(5),
        differentiable=False,
    ),
]


# ---------------------------------------------------------------- the functions people call

_linear_int8, _linear_int4 = LinearInt8(), LinearInt4()
_lookup_int8, _lookup_int4 = LookupInt8(), LookupInt4()


def linear_int8(x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """What x @ w^T stands for, x: int8 (..., k), w: int8 (n, k), with their scales; float32 (..., n).

    Raises DTypeError for operands that are no codes, ShapeError where shapes do not fit.

    >>> x, w = tt.Tensor([[2, 4]], dtype="int8"), tt.Tensor([[3, 1]], dtype="int8")
    >>> linear_int8(x, tt.Tensor(0.5), w, tt.Tensor(0.5))
    Tensor([[2.5]])
    """
    return _linear_int8(x, x_scale, w, w_scale, *(() if zero is None else (zero,)))


def linear_int4(x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor) -> Tensor:
    """What x @ w^T stands for, x: int8 (..., k), w: nibbles (n, k / 2), scales (n, groups); result (..., n).

    >>> from tinytorch.ops.integer import pack_nibbles
    >>> x, w = tt.Tensor([[2, 4]], dtype="int8"), tt.Tensor(pack_nibbles(np.int8([[3, -1]])))
    >>> linear_int4(x, tt.Tensor(0.5), w, tt.Tensor([[2.0]]))
    Tensor([[2.]])
    """
    return _linear_int4(x, x_scale, w, w_scale)


def conv2d_int8(
    op: Conv2dInt8, x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor, zero: Tensor | None = None
) -> Tensor:
    """What x correlated with w stands for: codes with their scales, and the geometry in `op`."""
    return op(x, x_scale, w, w_scale, *(() if zero is None else (zero,)))


def lookup_int8(ids: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    """The row of each id: codes int8 (rows, dim) times scale (rows, 1); float32 (*ids.shape, dim)."""
    return _lookup_int8(codes, scale, ids)


def lookup_int4(ids: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    """The row of each id: nibbles (rows, dim / 2) times scales (rows, groups); float32 (*ids.shape, dim)."""
    return _lookup_int4(codes, scale, ids)
