"""Arithmetic, element by element, and what changes a value but not its place: clip, cast, copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError
from tinytorch.ops.base import Gradient, Op, Sample, promote
from tinytorch.ops.compare import Binary, Unary, where
from tinytorch.ops.elementwise import floating, log
from tinytorch.ops.spec import Array, DType, Spec, bool_

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

_quiet = np.errstate(all="ignore")


def _refuse_bool(op: Op, *specs: Spec | Array) -> None:
    if all(spec.dtype == bool_ for spec in specs):
        raise DTypeError(f"{op.name}: takes numbers, not bool. Cast with .to('int64'), or use != and ~.")


# ---------------------------------------------------------------- arithmetic


class Add(Binary):
    """out = a + b.   da = g, db = g"""

    keeps = ()

    def forward(self, a: Array, b: Array) -> Any:
        """The sum, element by element; a and b broadcast (NumPy does it) and stay as they are."""
        return np.add(a, b)

    def vjp(self, g: Tensor, out: Spec, a: Spec, b: Spec) -> tuple[Gradient, ...]:
        return g, g


class Sub(Binary):
    """out = a - b.   da = g, db = -g"""

    keeps = ()

    def infer(self, a: Spec, b: Spec) -> Spec:
        _refuse_bool(self, a, b)
        return super().infer(a, b)

    def forward(self, a: Array, b: Array) -> Any:
        return np.subtract(a, b)

    def vjp(self, g: Tensor, out: Spec, a: Spec, b: Spec) -> tuple[Gradient, ...]:
        return g, lambda: -g


class Mul(Binary):
    """out = a * b.   da = g * b, db = g * a"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.multiply(a, b)

    def vjp(self, g: Tensor, out: Spec, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        """The gradients of a and b from g, that of out = a * b: a pair, each of the shape of g.

        Each is a Tensor made by ops on Tensors (so that it can be differentiated again), or a function of
        no arguments that makes it, which is called only if someone wants that gradient.
        """
        return lambda: g * b, lambda: g * a


class Div(Binary):
    """out = a / b.   da = g / b, db = -g * out / b"""

    keeps = (1,)
    keeps_output = True
    samples: ClassVar[Any] = [
        Sample(None, (3, 4), (3, 4), low=0.5),
        Sample(None, (3, 1), (4,), low=0.5),
        Sample(None, (), (2, 3), low=0.5),
    ]

    @_quiet
    def forward(self, a: Array, b: Array) -> Any:
        return np.true_divide(a, b)

    def vjp(self, g: Tensor, out: Tensor, a: Spec, b: Tensor) -> tuple[Gradient, ...]:
        """The gradients of a and b from g, that of out = a / b: a pair, each of the shape of g.

        The op keeps out and b; of a there is only the Spec, a shape and a dtype without values.
        """
        return lambda: g / b, lambda: -g * out / b


class Pow(Binary):
    """out = a ** b.   da = g * b * a ** (b - 1), db = g * out * log(a)"""

    keeps_output = True
    cost = 2
    samples: ClassVar[Any] = [Sample(None, (3, 4), (3, 4), low=0.5), Sample(None, (3, 4), (), low=0.5)]

    def infer(self, a: Spec, b: Spec) -> Spec:
        _refuse_bool(self, a, b)
        return super().infer(a, b)

    @_quiet
    def forward(self, a: Array, b: Array) -> Any:
        if b.dtype.kind != "f":
            _refuse_bool(self, a, b)  # NumPy would make int8 of them
            if (b < 0).any():
                raise DTypeError(
                    "pow: integers have no negative powers among integers. Cast with .to('float32')."
                )
        return np.square(a) if b.ndim == 0 and b == 2 else np.power(a, b)

    def vjp(self, g: Tensor, out: Tensor, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return (
            lambda: g * where(b == 0, 0.0, b * a ** (b - 1)),
            lambda: g * where(a == 0, 0.0, out * log(a)),
        )


class Maximum(Binary):
    """out = max(a, b), NaN if either is.   The gradient goes to the larger; equal ones share it."""

    def forward(self, a: Array, b: Array) -> Any:
        return np.maximum(a, b)

    def vjp(self, g: Tensor, out: Spec, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return (
            lambda: where(a == b, g * 0.5, where(a > b, g, 0.0)),
            lambda: where(a == b, g * 0.5, where(a < b, g, 0.0)),
        )


class Minimum(Binary):
    """out = min(a, b), NaN if either is.   The gradient goes to the smaller; equal ones share it."""

    def forward(self, a: Array, b: Array) -> Any:
        return np.minimum(a, b)

    def vjp(self, g: Tensor, out: Spec, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        return (
            lambda: where(a == b, g * 0.5, where(a < b, g, 0.0)),
            lambda: where(a == b, g * 0.5, where(a > b, g, 0.0)),
        )


# ---------------------------------------------------------------- functions of one variable


class Neg(Unary):
    """out = -a.   da = -g"""

    keeps = ()
    floating = False

    def infer(self, a: Spec) -> Spec:
        _refuse_bool(self, a)
        return super().infer(a)

    def forward(self, a: Array) -> Any:
        return np.negative(a)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (-g,)


class Copy(Unary):
    """out = a in memory of its own.   da = g"""

    keeps = ()
    floating = False
    cost = 0

    def forward(self, a: Array) -> Any:
        return a.copy()

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (g,)


class Abs(Unary):
    """out = |a|.   da = g * sign(a)"""

    floating = False

    def forward(self, a: Array) -> Any:
        return np.absolute(a)

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (g * sign(a),)


class Sign(Unary):
    """out = -1, 0 or 1.   da = 0"""

    keeps = ()
    floating = False

    def infer(self, a: Spec) -> Spec:
        _refuse_bool(self, a)
        return super().infer(a)

    def forward(self, a: Array) -> Any:
        return np.sign(a)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (g * 0.0,)


@dataclass
class Clip(Unary):
    """out = min(max(a, low), high).   da = g where low <= a <= high"""

    low: float
    high: float
    floating: ClassVar[bool] = False
    samples: ClassVar[Any] = ()

    def forward(self, a: Array) -> Any:
        return np.clip(a, a.dtype.type(self.low), a.dtype.type(self.high))

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (where((a >= self.low) & (a <= self.high), g, 0.0),)


Clip.samples = [Sample(Clip(-1.0, 0.5), (3, 4)), Sample(Clip(-1.0, 0.5), (0,))]


@dataclass
class Cast(Unary):
    """out = a in another dtype.   da = g in that of a"""

    dtype: DType
    keeps: ClassVar[Any] = ()
    floating: ClassVar[bool] = False
    cost: ClassVar[int] = 0
    samples: ClassVar[Any] = ()

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, self.dtype)

    @_quiet
    def forward(self, a: Array) -> Any:
        return a.astype(self.dtype)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (Cast(a.dtype)(g),)


Cast.samples = [Sample(Cast(np.dtype(t)), (3, 4)) for t in ("float64", "float32")] + [
    Sample(Cast(np.dtype(t)), (3, 4), differentiable=False) for t in ("int32", "bool", "float16")
]


# ---------------------------------------------------------------- the functions people call

# a bound method costs half as much to call as an instance
add_op, sub_op, mul_op = Add().__call__, Sub().__call__, Mul().__call__
div_op, copy_op = Div(), Copy()
_pow, _maximum, _minimum = Pow(), Maximum(), Minimum()
_neg, _abs, _sign = Neg(), Abs(), Sign()


def add(a: Any, b: Any) -> Tensor:
    """a + b, broadcasting.

    >>> tt.Tensor([1.0, 2.0]) + 1
    Tensor([2., 3.])
    """
    return add_op(*promote(a, b))


def sub(a: Any, b: Any) -> Tensor:
    """a - b, broadcasting.

    >>> 3 - tt.Tensor([1.0, 2.0])
    Tensor([2., 1.])
    """
    return sub_op(*promote(a, b))


def mul(a: Any, b: Any) -> Tensor:
    """a * b, broadcasting.

    >>> tt.Tensor([1.0, 2.0]) * tt.Tensor([[3.0], [4.0]])
    Tensor([[3., 6.],
            [4., 8.]])
    """
    return mul_op(*promote(a, b))


def div(a: Any, b: Any) -> Tensor:
    """a / b, broadcasting; integers give float32.

    >>> tt.Tensor([1, 2]) / 4
    Tensor([0.25, 0.5 ])
    """
    a, b = promote(a, b)
    return div_op(floating(a), floating(b))


def pow(a: Any, b: Any) -> Tensor:
    """a ** b, broadcasting.

    >>> tt.Tensor([1.0, 2.0]) ** 3
    Tensor([1., 8.])
    """
    return _pow(*promote(a, b))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of each pair, broadcasting.

    >>> maximum(tt.Tensor([1.0, 5.0]), 2.0)
    Tensor([2., 5.])
    """
    return _maximum(*promote(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of each pair, broadcasting.

    >>> minimum(tt.Tensor([1.0, 5.0]), 2.0)
    Tensor([1., 2.])
    """
    return _minimum(*promote(a, b))


def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """x held between `low` and `high`; None leaves a side open.

    >>> clip(tt.Tensor([-2.0, 0.5, 3.0]), low=0.0, high=1.0)
    Tensor([0. , 0.5, 1. ])
    """
    bottom, top = -np.inf if low is None else low, np.inf if high is None else high
    if x.dtype == bool_ or isinstance(low, float) or isinstance(high, float):
        x = floating(x)
    if x.dtype.kind != "f":
        info = np.iinfo(x.dtype)
        bottom, top = max(bottom, info.min), min(top, info.max)
    return Clip(bottom, top)(x)


def neg(x: Tensor) -> Tensor:
    """-x.

    >>> -tt.Tensor([1.0, -2.0])
    Tensor([-1.,  2.])
    """
    return _neg(x)


def abs(x: Tensor) -> Tensor:
    """The absolute value.

    >>> abs(tt.Tensor([1.0, -2.0]))
    Tensor([1., 2.])
    """
    return _abs(x)


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1.

    >>> sign(tt.Tensor([-3.0, 0.0, 2.0]))
    Tensor([-1.,  0.,  1.])
    """
    return _sign(x)
