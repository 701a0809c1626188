"""What element-wise ops share, and those that compare and select."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError
from tinytorch.ops.base import Gradient, Op, Sample, lift, promote, registry
from tinytorch.ops.context import context
from tinytorch.ops.spec import Array, Spec, bool_, broadcast, result_type

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor


class Unary(Op):
    """out = f(a)"""

    numpy_checks = True
    cost: ClassVar[int] = 1
    """FLOPs an element, by the table in docs/conventions.md."""
    floating: ClassVar[bool] = True
    samples: ClassVar[Any] = [((3, 4),), ((0, 4),), ((),)]

    def infer(self, a: Spec) -> Spec:
        if self.floating and a.dtype.kind != "f":
            raise DTypeError(f"{self.name}: takes floating dtypes, not {a.dtype}. Cast with .to('float32').")
        return Spec(a.shape, a.dtype)

    def flops(self, out: Spec, *inputs: Spec) -> int:
        """FLOPs of one call, from its specs alone: `self.cost` for each element of the result."""
        return self.cost * out.size


class Binary(Op):
    """out = f(a, b), broadcasting"""

    numpy_checks = True
    cost: ClassVar[int] = 1
    samples: ClassVar[Any] = [((3, 4), (3, 4)), ((3, 1), (4,)), ((2, 3), ()), ((0, 4), (4,)), ((), ())]

    def infer(self, a: Spec, b: Spec) -> Spec:
        return Spec(broadcast(self.name, a.shape, b.shape), result_type(a.dtype, b.dtype))

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
        """`Op.__call__` less what two inputs and one new output do not need: half the time on small ones."""
        state = context.state
        if state.watched:
            return self.all(a, b)[0]
        try:
            out = registry.make(self.forward(a._array, b._array))
        except (ValueError, TypeError):
            self._explain((a, b))
            raise
        if state.grad and (a.requires_grad or b.requires_grad):
            self._record(state, (a, b), out, ())
        return out

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return self.cost * out.size


class Comparison(Binary):
    """out = a ? b, a bool; no gradient flows"""

    def infer(self, a: Spec, b: Spec) -> Spec:
        return Spec(broadcast(self.name, a.shape, b.shape), bool_)


# ---------------------------------------------------------------- comparison, logic, selection


class Equal(Comparison):
    """out = a == b"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.equal(a, b)


class NotEqual(Comparison):
    """out = a != b"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.not_equal(a, b)


class Less(Comparison):
    """out = a < b"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.less(a, b)


class LessEqual(Comparison):
    """out = a <= b"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.less_equal(a, b)


class Greater(Comparison):
    """out = a > b"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.greater(a, b)


class GreaterEqual(Comparison):
    """out = a >= b"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.greater_equal(a, b)


class And(Binary):
    """out = a & b, on bool or integers"""

    samples: ClassVar[Any] = [Sample(None, np.array([True, False, True]), np.array([[True], [False]]))]

    def forward(self, a: Array, b: Array) -> Any:
        return np.bitwise_and(a, b)

    def infer(self, a: Spec, b: Spec) -> Spec:
        if "f" in (a.dtype.kind, b.dtype.kind):
            raise DTypeError(f"{self.name}: takes bool or integers. Compare first: (a > 0) & (b > 0).")
        return super().infer(a, b)


class Or(And):
    """out = a | b, on bool or integers"""

    def forward(self, a: Array, b: Array) -> Any:
        return np.bitwise_or(a, b)


class Not(Unary):
    """out = ~a, on bool or integers"""

    floating = False
    samples: ClassVar[Any] = [Sample(None, np.array([True, False]))]

    def infer(self, a: Spec) -> Spec:
        if a.dtype.kind == "f":
            raise DTypeError(f"not: takes bool or integers, not {a.dtype}. Compare first: ~(a > 0).")
        return super().infer(a)

    def forward(self, a: Array) -> Any:
        return np.invert(a)


class Where(Op):
    """out = a where condition else b, broadcasting.   da = g where condition, db = g elsewhere"""

    keeps = (0,)
    samples: ClassVar[Any] = [
        Sample(None, np.array([[True], [False], [True]]), (3, 4), (4,)),
        Sample(None, np.array(True), (), (2,)),
    ]

    def infer(self, condition: Spec, a: Spec, b: Spec) -> Spec:
        if condition.dtype != bool_:
            raise DTypeError(f"where: the condition is bool, not {condition.dtype}. Compare first: a != 0.")
        return Spec(broadcast("where", condition.shape, a.shape, b.shape), result_type(a.dtype, b.dtype))

    def forward(self, condition: Array, a: Array, b: Array) -> Any:
        return np.where(condition, a, b)

    def vjp(self, g: Tensor, out: Spec, condition: Tensor, a: Spec, b: Spec) -> tuple[Gradient, ...]:
        return None, lambda: where(condition, g, 0.0), lambda: where(condition, 0.0, g)

    def flops(self, out: Spec, condition: Spec, a: Spec, b: Spec) -> int:
        return 0


# ---------------------------------------------------------------- the functions people call

_equal, _not_equal, _less, _less_equal = Equal(), NotEqual(), Less(), LessEqual()
_greater, _greater_equal, _and, _or, _not, _where = Greater(), GreaterEqual(), And(), Or(), Not(), Where()


def equal(a: Any, b: Any) -> Tensor:
    """a == b, element by element.

    >>> tt.Tensor([1.0, 2.0]) == 2
    Tensor([False,  True])
    """
    return _equal(*promote(a, b))


def not_equal(a: Any, b: Any) -> Tensor:
    """a != b, element by element.

    >>> tt.Tensor([1.0, 2.0]) != 2
    Tensor([ True, False])
    """
    return _not_equal(*promote(a, b))


def less(a: Any, b: Any) -> Tensor:
    """a < b, element by element.

    >>> tt.Tensor([1.0, 2.0]) < 2
    Tensor([ True, False])
    """
    return _less(*promote(a, b))


def less_equal(a: Any, b: Any) -> Tensor:
    """a <= b, element by element.

    >>> tt.Tensor([1.0, 2.0]) <= 1
    Tensor([ True, False])
    """
    return _less_equal(*promote(a, b))


def greater(a: Any, b: Any) -> Tensor:
    """a > b, element by element.

    >>> tt.Tensor([1.0, 2.0]) > 1
    Tensor([False,  True])
    """
    return _greater(*promote(a, b))


def greater_equal(a: Any, b: Any) -> Tensor:
    """a >= b, element by element.

    >>> tt.Tensor([1.0, 2.0]) >= 2
    Tensor([False,  True])
    """
    return _greater_equal(*promote(a, b))


def logical_and(a: Any, b: Any) -> Tensor:
    """a & b, on bool or integers.

    >>> tt.Tensor([True, True]) & tt.Tensor([True, False])
    Tensor([ True, False])
    """
    return _and(*promote(a, b))


def logical_or(a: Any, b: Any) -> Tensor:
    """a | b, on bool or integers.

    >>> tt.Tensor([True, False]) | tt.Tensor([False, False])
    Tensor([ True, False])
    """
    return _or(*promote(a, b))


def logical_not(a: Tensor) -> Tensor:
    """~a, on bool or integers.

    >>> ~tt.Tensor([True, False])
    Tensor([False,  True])
    """
    return _not(a)


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """a where the condition holds, b elsewhere; all three broadcast.

    >>> where(tt.Tensor([True, False]), tt.Tensor([1.0, 2.0]), 0.0)
    Tensor([1., 0.])
    """
    a, b = promote(a, b) if not isinstance(a, float | int) else promote(b, a)[::-1]
    return _where(lift(condition), a, b)
