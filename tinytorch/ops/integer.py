"""Products of int8 codes, summed in int32, exactly; and codes of four bits, two in a byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.conv import Conv2d, Convolution
from tinytorch.ops.quantize import require_dtype
from tinytorch.ops.spec import Array, Spec, float32, int8, int32, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

EXACT = 1024
"""Products that float32 sums exactly: each is at most 2**14, and whole numbers up to 2**24 are float32."""
LONGEST = 2**16 - 1
"""Products of codes, less those of a zero point, that int32 sums without overflow."""


def _require_codes(op: str, x: Spec, w: Spec) -> None:
    require_dtype(op, "x", x, int8)
    require_dtype(op, "w", w, int8)


def _require_length(op: str, k: int) -> None:
    if k > LONGEST:
        raise ShapeError(f"{op}: sums of {k} products may overflow int32; at most {LONGEST}")


class IntMatMul(Op):
    """out = x @ w^T of int8 codes, as exact int32; x: (..., k), w: (n, k), out: (..., n)"""

    samples: ClassVar[Any] = [
        Sample(
            None,
            np.array([[1, -2, 3], [-128, 127, 0]], np.int8),
            np.array([[4, 5, 6], [-128, -128, -128]], np.int8),
            differentiable=False,
        ),
        Sample(None, np.full((2, 2, 5), -128, np.int8), np.full((3, 5), -128, np.int8), differentiable=False),
        Sample(None, np.zeros((0, 4), np.int8), np.zeros((3, 4), np.int8), differentiable=False),
    ]

    def infer(self, x: Spec, w: Spec) -> Spec:
        _require_codes("int_matmul", x, w)
        if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[1]:
            raise ShapeError(f"int_matmul: x {x.shape} and w {w.shape}; expected (..., k) and (n, k)")
        _require_length("int_matmul", w.shape[1])
        return Spec((*x.shape[:-1], w.shape[0]), int32)

    def forward(self, x: Array, w: Array) -> Any:
        """x @ w^T; x: (..., k), w: (n, k), both int8, result (..., n) int32, every digit of it right.

        A product of two codes can be 16384, which is no int8, and a sum of k of them k times that: what adds
        them up must hold it. NumPy has no fast product of integers, but float32 holds whole numbers up to
        2**24: sums of EXACT products are right, and int32 adds those up.
        """
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        out = np.zeros((len(rows), len(w)), np.int32)
        for start in range(0, w.shape[1], EXACT):
            part = slice(start, start + EXACT)
            out += np.matmul(rows[:, part].astype(np.float32), w[:, part].T.astype(np.float32)).astype(
                np.int32
            )
        return out.reshape(*x.shape[:-1], len(w))

    def matmul_flops(self, out: Spec, x: Spec, w: Spec) -> int:
        return 2 * out.size * w.shape[1]

    def flops(self, out: Spec, x: Spec, w: Spec) -> int:
        return self.matmul_flops(out, x, w)


@dataclass
class IntConv2d(Convolution):
    """out = x correlated with each filter of w, int8 codes, as exact int32; padding has code 0

    x: (n, c, h, w), w: (o, c / groups, kh, kw); out: (n, o, oh, ow).
    """

    def infer(self, x: Spec, w: Spec) -> Spec:
        _require_codes("int_conv2d", x, w)
        out = Conv2d(*self._geometry()).infer(Spec(x.shape, float32), Spec(w.shape, float32))
        _require_length("int_conv2d", math.prod(w.shape[1:]))
        return Spec(out.shape, int32)

    def forward(self, x: Array, w: Array) -> Any:
        """out: (n, o, oh, ow) int32, exact: in float64 where float32 does not hold all sums."""
        convolve, window = Conv2d(*self._geometry()), math.prod(w.shape[2:])
        if w.shape[1] * window <= EXACT:
            return convolve.forward(x.astype(np.float32), w.astype(np.float32)).astype(np.int32)
        return convolve.forward(x.astype(np.float64), w.astype(np.float64)).astype(np.int32)

    def matmul_flops(self, out: Spec, x: Spec, w: Spec) -> int:
        return 2 * out.size * math.prod(w.shape[1:])

    def flops(self, out: Spec, x: Spec, w: Spec) -> int:
        return self.matmul_flops(out, x, w)


class GroupMatMul(Op):
    """out[i, j] = the sum over groups g of scale[j, g] * (x[i, group] . w[j, group]), the products exact

    x: int8 (..., k); w: codes of four bits, (n, k / 2) as `pack_nibbles` leaves them; scale: (n, groups),
    for groups of equal length that make up k; out: (..., n), in the dtype of scale.
    """

    samples: ClassVar[Any] = [
        Sample(
            None,
            np.arange(-8, 8, dtype=np.int8).reshape(1, 16),
            np.arange(-8, 8, dtype=np.int8).reshape(2, 8),
            np.array([[0.5, 2.0], [1.0, 0.25]], np.float32),
            differentiable=False,
        ),
    ]

    def infer(self, x: Spec, w: Spec, scale: Spec) -> Spec:
        _require_codes("group_matmul", x, w)
        require_float("group_matmul", scale)
        require_groups("group_matmul", w, scale)
        if x.ndim < 1 or x.shape[-1] != 2 * w.shape[1]:
            raise ShapeError(f"group_matmul: x {x.shape} and w {w.shape}; expected (..., k) and (n, k / 2)")
        return Spec((*x.shape[:-1], w.shape[0]), scale.dtype)

    def forward(self, x: Array, w: Array, scale: Array) -> Any:
        """(..., n): for each group an exact product of int8, times the scales of that group, summed."""
        rows, codes = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), unpack_nibbles(w)
        size = codes.shape[1] // scale.shape[1]
        out = np.zeros((len(rows), len(w)), scale.dtype)
        for group in range(scale.shape[1]):
            part = slice(group * size, (group + 1) * size)
            out += _matmul.forward(rows[:, part], codes[:, part]).astype(scale.dtype) * scale[:, group]
        return out.reshape(*x.shape[:-1], len(w))

    def matmul_flops(self, out: Spec, x: Spec, w: Spec, scale: Spec) -> int:
        return 2 * out.size * x.shape[-1]

    def flops(self, out: Spec, x: Spec, w: Spec, scale: Spec) -> int:
        return self.matmul_flops(out, x, w, scale) + 2 * out.size * scale.shape[1]


def require_groups(op: str, w: Spec, scale: Spec) -> None:
    """Raise ShapeError unless w: (n, k / 2) and scale: (n, groups) fit, with groups of an even length."""
    if w.ndim != 2 or scale.ndim != 2 or scale.shape[0] != w.shape[0] or not scale.shape[1]:
        raise ShapeError(
            f"{op}: codes {w.shape} and scales {scale.shape}; expected (n, k / 2) and (n, groups)"
        )
    if w.shape[1] % scale.shape[1]:
        raise ShapeError(f"{op}: {2 * w.shape[1]} codes a row do not make {scale.shape[1]} even groups")


def pack_nibbles(codes: Array) -> Array:
    """Codes from -8 to 7, int8 (..., k) with an even k, two in a byte: int8 (..., k / 2).

    A byte has the first of the two in its low four bits, the second in its high four, as two's complement.

    >>> pack_nibbles(np.int8([[1, 2, -1, -8]])).view(np.uint8)
    array([[ 33, 143]], dtype=uint8)
    """
    low, high = codes[..., ::2].view(np.uint8), codes[..., 1::2].view(np.uint8)
    return np.asarray((low & 15) | (high << 4), np.uint8).view(np.int8)


def unpack_nibbles(packed: Array) -> Array:
    """What `pack_nibbles` packed: int8 (..., k) of (..., k / 2) bytes.

    >>> unpack_nibbles(np.uint8([[33, 143]]).view(np.int8))
    array([[ 1,  2, -1, -8]], dtype=int8)
    """
    codes = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), np.int8)
    codes[..., ::2] = (packed << 4) >> 4
    codes[..., 1::2] = packed >> 4
    return codes


_PIXELS = (np.arange(72) % 19 - 9).astype(np.int8)
IntConv2d.samples = [
    Sample(
        IntConv2d((1, 1), (1, 1)),
        _PIXELS.reshape(1, 2, 6, 6),
        _PIXELS[:54].reshape(3, 2, 3, 3),
        differentiable=False,
    ),
    Sample(
        IntConv2d((2, 1), (0, 1), (1, 2), 2),
        np.full((2, 4, 5, 7), -128, np.int8),
        np.full((4, 2, 2, 3), -128, np.int8),
        differentiable=False,
    ),
]

_matmul = IntMatMul()


def int_matmul(x: Tensor, w: Tensor) -> Tensor:
    """x @ w^T of int8 codes as exact int32; x: (..., k), w: (n, k), result (..., n).

    Raises DTypeError unless both are int8, ShapeError where k differs or is so large that int32 may overflow.

    >>> int_matmul(tt.Tensor([[100, 100]], dtype="int8"), tt.Tensor([[100, 100]], dtype="int8"))
    Tensor([[20000]], dtype=int32)
    """
    return _matmul(x, w)
