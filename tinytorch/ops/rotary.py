"""Rotary positions: queries and keys turned by an angle that grows with their position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.index import TakeGrad
from tinytorch.ops.spec import Array, Spec, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor


def angles(positions: int, dim: int, base: float = 10000.0) -> tuple[Array, Array]:
    """Cosines and sines of the angles of so many positions: two arrays (positions, dim / 2), float32.

    Pair i of the dim features turns by position * base ** (-2 i / dim): the first fast, the last slowly.

    >>> cos, sin = angles(2, 4)
    >>> cos.round(4)
    array([[1.    , 1.    ],
           [0.5403, 1.    ]], dtype=float32)
    >>> sin.round(4)
    array([[0.    , 0.    ],
           [0.8415, 0.01  ]], dtype=float32)
    """
    turned = np.outer(np.arange(positions), base ** (-np.arange(0, dim, 2) / dim))
    return np.cos(turned).astype(np.float32), np.sin(turned).astype(np.float32)


@dataclass
class Rotary(Op):
    """Features 2i and 2i + 1 as a vector, turned by the angle of its position.   dx = g turned back

    x: (batch, heads, t, d), cos and sin: (positions, d / 2), positions: (batch, t) or (1, t), out as x.
    Two turned vectors have a dot product that depends on how far apart they are: Su et al., "RoFormer:
    enhanced transformer with rotary position embedding", 2021.
    """

    back: bool = False

    def infer(self, x: Spec, cos: Spec, sin: Spec, positions: Spec) -> Spec:
        require_float("rotary", x, cos, sin)
        if positions.dtype.kind != "i":
            raise DTypeError(f"rotary: positions are integers, not {positions.dtype}")
        if x.ndim != 4 or cos.shape != sin.shape or cos.ndim != 2 or 2 * cos.shape[1] != x.shape[3]:
            raise ShapeError(
                f"rotary: x {x.shape}, cos {cos.shape}, sin {sin.shape}: expected (batch, heads, t, d), and "
                "(positions, d / 2) twice"
            )
        if positions.shape not in ((x.shape[0], x.shape[2]), (1, x.shape[2])):
            raise ShapeError(f"rotary: positions {positions.shape} of x {x.shape}; expected (batch, t)")
        return Spec(x.shape, x.dtype)

    def forward(self, x: Array, cos: Array, sin: Array, positions: Array) -> Any:
        """x with each pair (a, b) of neighbours made (a cos - b sin, a sin + b cos), or turned `back`."""
        if positions.size and not 0 <= positions.min() <= positions.max() < len(cos):
            raise ShapeError(
                f"rotary: positions {positions.min()} to {positions.max()}; there are angles for {len(cos)}"
            )
        c = cos[positions][:, None].astype(x.dtype)
        s = sin[positions][:, None].astype(x.dtype) * (-1 if self.back else 1)
        out = np.empty_like(x)
        a, b = x[..., ::2], x[..., 1::2]
        out[..., ::2] = a * c - b * s
        out[..., 1::2] = a * s + b * c
        return out

    def vjp(
        self, g: Tensor, out: Any, x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor
    ) -> tuple[Gradient, ...]:
        def by_position(pairs: Tensor) -> Tensor:
            """The sum over all that turned alike: (batch, heads, t, d / 2) to (positions, d / 2)."""
            rows = pairs.sum(1) if positions.shape[0] == x.shape[0] else pairs.sum((0, 1)).unsqueeze(0)
            return TakeGrad(cos.shape[0])(rows.to(cos.dtype), positions)

        def of_cos() -> Tensor:
            return by_position(g[..., ::2] * x[..., ::2] + g[..., 1::2] * x[..., 1::2])

        def of_sin() -> Tensor:
            across = g[..., 1::2] * x[..., ::2] - g[..., ::2] * x[..., 1::2]
            return by_position(-across if self.back else across)

        return Rotary(not self.back)(g, cos, sin, positions), of_cos, of_sin, None

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return 3 * out.size

    def bytes(self, out: Spec, x: Spec, cos: Spec, sin: Spec, positions: Spec) -> int:
        return x.nbytes + out.nbytes + positions.size * (cos.shape[1] * 2 * cos.dtype.itemsize + 8)


_COS, _SIN = angles(8, 4)
_PLACES = np.array([[1, 7, 0], [3, 4, 5]])
Rotary.samples = [
    Sample(Rotary(), (2, 3, 3, 4), _COS, _SIN, _PLACES),
    Sample(Rotary(True), (2, 3, 3, 4), _COS, _SIN, _PLACES[:1]),
    Sample(Rotary(), (2, 0, 3, 4), _COS, _SIN, _PLACES),
]

_rotary = Rotary()


def rotary(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor) -> Tensor:
    """x: (batch, heads, t, d) with neighbouring features turned by the angles of `positions`: (batch, t).

    cos, sin: (positions, d / 2), as `angles` gives them. Raises ShapeError for a position without an angle.

    >>> cos, sin = (tt.Tensor(a) for a in angles(2, 2))
    >>> rotary(tt.ones(1, 1, 2, 2), cos, sin, tt.Tensor([[0, 1]]))[0, 0]
    Tensor([[ 1.    ,  1.    ],
            [-0.3012,  1.3818]])
    """
    return _rotary(x, cos, sin, positions)
