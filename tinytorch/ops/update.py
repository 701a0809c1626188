"""What an optimizer does to parameters, in place: one op call updates all tensors of a parameter group."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytorch import threads
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.spec import Array, DType, Spec, float32, float64, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

T = TypeVar("T")
_BLOCK = 8192  # elements: the five arrays of an Adam update then stay in a core's own cache


# ---------------------------------------------------------------- what the updates share


@functools.cache
def _blas(dtype: DType) -> tuple[Any, Any]:
    """`axpy(x, y, a=a)`: y += a * x, and `scal(a, x)`: x *= a, in one pass where NumPy makes two."""
    from scipy.linalg import blas  # a heavy import that only training needs, with a BLAS of its own

    threads.hold()
    names = {float32: ("saxpy", "sscal"), float64: ("daxpy", "dscal")}
    return tuple(getattr(blas, name) for name in names[dtype])


def add_to(y: Array, x: Array, by: float = 1.0) -> None:
    """y += by * x in place, for rows that are not empty: one pass over memory and no array in between.

    >>> y = np.array([1.0, 2.0])
    >>> add_to(y, np.array([10.0, 20.0]), by=0.5)
    >>> y.tolist()
    [6.0, 12.0]
    """
    _blas(y.dtype)[0](x, y, a=by)


def scale(x: Array, by: float) -> None:
    """x *= by in place, for a row that is not empty.

    >>> x = np.array([1.0, 2.0])
    >>> scale(x, 3.0)
    >>> x.tolist()
    [3.0, 6.0]
    """
    _blas(x.dtype)[1](by, x)


def _columns(inputs: Sequence[T], count: int) -> list[Sequence[T]]:
    """Split (a1, a2, b1, b2, ...) into [(a1, a2), (b1, b2), ...]."""
    return [inputs[i : i + count] for i in range(0, len(inputs), count)]


def _check(op: Op, columns: Sequence[Sequence[Any]]) -> None:
    """Raise unless the tensors of each parameter, one of each column, agree in shape and dtype."""
    parameters = columns[0]
    for p in parameters:
        if p.dtype != float32 and p.dtype != float64:
            raise DTypeError(
                f"{op.name}: takes float32 or float64, not {p.dtype}. Cast the model with .to()."
            )
    for column in columns[1:]:
        for p, x in zip(parameters, column, strict=True):
            if x.shape != p.shape or x.dtype != p.dtype:
                given = f"got a gradient or state {x.dtype}{x.shape}"
                raise ShapeError(f"{op.name}: a parameter {p.dtype}{p.shape} {given}")


def _check_scalar(op: Op, what: str, spec: Any, kind: str) -> None:
    if spec.shape != () or spec.dtype.kind != kind:
        raise ShapeError(f"{op.name}: the {what} is one number without axes, not {spec.dtype}{spec.shape}")


def _rows(arrays: Sequence[Array], count: int) -> Iterator[Sequence[Array]]:
    """The arrays of each parameter that has elements as rows, gradients second, to be changed in place.

    Rows are views where memory is in order, else copies that are written back.
    """
    copied = [i for i, array in enumerate(arrays) if not array.flags.carray]
    rows = [array.flatten() if i in copied else array.ravel() for i, array in enumerate(arrays)]
    for row in zip(*_columns(rows, count), strict=True):
        if row[0].size:
            yield row
    for i in copied:
        if not count <= i < 2 * count:
            arrays[i][...] = rows[i].reshape(arrays[i].shape)


# ---------------------------------------------------------------- updates


@dataclass
class SGDUpdate(Op):
    """b = momentum * b + g + weight_decay * p;   p -= lr * b, or lr * (g + momentum * b) with Nesterov

    Inputs: lr (no axes), then all parameters, their gradients and, with momentum, their buffers.
    """

    count: int
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]  # depends on how many parameters there are
        """The parameters and the buffers."""
        n = self.count
        return (*range(1, n + 1), *(range(2 * n + 1, 3 * n + 1) if self.momentum else ()))

    def infer(self, lr: Any, *tensors: Any) -> Spec:
        _check_scalar(self, "learning rate", lr, "f")
        _check(self, _columns(tensors, self.count))
        return Spec(tensors[0].shape, tensors[0].dtype)

    def forward(self, lr: Array, *arrays: Array) -> Array:
        rate = float(lr)
        for rows in _rows(arrays, self.count):
            self.update(rate, *rows)
        return arrays[0]

    def update(self, rate: float, p: Array, g: Array, b: Array | None = None) -> None:
        """Change one parameter, and with momentum its buffer, in place; the gradient stays as it is.

        With d = g + weight_decay * p:  without momentum  p -= rate * d;  with momentum  b = momentum * b + d,
        then  p -= rate * b, or with Nesterov  p -= rate * (d + momentum * b).

        Args:
            rate: the learning rate.
            p, g, b: the parameter, its gradient and its buffer as rows of one length and dtype; `b` is None
                where `self.momentum` is 0.

        >>> p, b = np.array([1.0, 2.0]), np.array([0.5, 0.5])
        >>> SGDUpdate(1, momentum=0.5).update(0.1, p, np.array([0.75, -0.25]), b)
        >>> p.tolist(), b.tolist()
        ([0.9, 2.0], [1.0, 0.0])
        """
        if b is not None:
            scale(b, self.momentum)
            add_to(b, g)
            if self.weight_decay:
                add_to(b, p, self.weight_decay)
        if b is not None and not self.nesterov:
            add_to(p, b, -rate)
            return
        if self.weight_decay:
            scale(p, 1 - rate * self.weight_decay)
        add_to(p, g, -rate)
        if b is not None:
            add_to(p, b, -rate * self.momentum)

    def composite(self, lr: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The new parameters, then the new buffers."""
        parameters, buffers = [], []
        for p, g, *state in zip(*_columns(tensors, self.count), strict=True):
            g = g + p * self.weight_decay
            if state:
                buffers.append(state[0] * self.momentum + g)
                g = g + buffers[-1] * self.momentum if self.nesterov else buffers[-1]
            parameters.append(p - g * lr.to(p.dtype))
        return (*parameters, *buffers)

    def flops(self, out: Spec, lr: Spec, *tensors: Spec) -> int:
        each = 2 + (2 if self.momentum else 0) + (2 if self.nesterov else 0) + (2 if self.weight_decay else 0)
        return each * sum(p.size for p in tensors[: self.count])


@dataclass
class AdamUpdate(Op):
    """m = b1 * m + (1 - b1) * g;   v = b2 * v + (1 - b2) * g^2;   p -= lr * m' / (sqrt(v') + eps)

    m' and v' are m and v over 1 - b^step (Kingma and Ba, 2015, "Adam"). Weight decay is added to g or, where
    decoupled, taken off p (Loshchilov and Hutter, 2019, "Decoupled weight decay regularization").
    Inputs: lr (no axes), then all parameters, gradients, m, v and steps (no axes).
    """

    count: int
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]  # depends on how many parameters there are
        """The parameters, m, v and the steps."""
        n = self.count
        return (*range(1, n + 1), *range(2 * n + 1, 5 * n + 1))

    def infer(self, lr: Any, *tensors: Any) -> Spec:
        _check_scalar(self, "learning rate", lr, "f")
        *columns, steps = _columns(tensors, self.count)
        _check(self, columns)
        for step in steps:
            _check_scalar(self, "step", step, "i")
        return Spec(tensors[0].shape, tensors[0].dtype)

    def forward(self, lr: Array, *arrays: Array) -> Array:
        tensors, steps = arrays[: -self.count], arrays[-self.count :]
        rate = float(lr)
        for step in steps:
            step += 1
        numbers = [int(step) for step, p in zip(steps, arrays, strict=False) if p.size]
        for number, rows in zip(numbers, _rows(tensors, self.count), strict=True):
            for start in range(0, rows[0].size, _BLOCK):
                self.update(rate, number, *(row[start : start + _BLOCK] for row in rows))
        return arrays[0]

    def moments(self, g: Array, m: Array, v: Array) -> None:
        """Take a gradient into both running means, in place: m = b1 * m + (1 - b1) * g, v with g * g and b2.

        Args:
            g, m, v: the gradient, which stays as it is, and the means of it and of its square: rows of one
                length and dtype. `self.betas` is (b1, b2).

        >>> m, v = np.array([0.0, 1.0]), np.array([4.0, 0.0])
        >>> AdamUpdate(1, betas=(0.5, 0.75)).moments(np.array([2.0, -2.0]), m, v)
        >>> m.tolist(), v.tolist()
        ([1.0, -0.5], [4.0, 1.0])
        """
        b1, b2 = self.betas
        scale(m, b1)
        add_to(m, g, 1 - b1)
        scale(v, b2)
        add_to(v, g * g, 1 - b2)

    def decay(self, rate: float, p: Array, g: Array) -> Array:
        """Apply the weight decay; returns the gradient to go on with. `g` itself is never changed.

        Coupled (`self.decoupled` is False): p stays, and the result is g + weight_decay * p. Decoupled:
        p -= rate * weight_decay * p in place, and the result is g. Without weight decay nothing happens.

        >>> p, g = np.array([2.0]), np.array([1.0])
        >>> AdamUpdate(1, weight_decay=0.5).decay(0.1, p, g).tolist(), p.tolist()
        ([2.0], [2.0])
        >>> AdamUpdate(1, weight_decay=0.5, decoupled=True).decay(0.1, p, g).tolist(), p.tolist()
        ([1.0], [1.9])
        """
        if not self.weight_decay:
            return g
        if self.decoupled:
            scale(p, 1 - rate * self.weight_decay)
            return g
        g = g.copy()
        add_to(g, p, self.weight_decay)
        return g

    def update(self, rate: float, step: int, p: Array, g: Array, m: Array, v: Array) -> None:
        """Make one step of one parameter, in place: decay, moments, then p -= rate * m' / (sqrt(v') + eps).

        m' = m / (1 - b1^step) and v' = v / (1 - b2^step) make up for the zeros that m and v started from; m
        and v themselves stay uncorrected. `decay` and `moments` do the first two.

        Args:
            rate: the learning rate.
            step: how many steps this parameter has made, this one included; at least 1.
            p, g, m, v: rows of one length and dtype.

        >>> p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
        >>> AdamUpdate(1, eps=0.0).update(0.25, 1, p, np.array([-8.0]), m, v)
        >>> p.tolist()
        [1.25]
        """
        b1, b2 = self.betas
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        root = math.sqrt(1 - b2**step)  # both corrections become numbers: no further pass over m or v
        scratch = np.sqrt(v)
        np.add(scratch, self.eps * root, out=scratch)
        np.divide(m, scratch, out=scratch)
        add_to(p, scratch, -rate * root / (1 - b1**step))

    def composite(self, lr: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The new parameters, then the new m, v and steps."""
        b1, b2 = self.betas
        new = []
        for p, g, m, v, step in zip(*_columns(tensors, self.count), strict=True):
            rate, step = lr.to(p.dtype), step + 1
            if self.decoupled:
                p = p - p * rate * self.weight_decay
            else:
                g = g + p * self.weight_decay
            m = m * b1 + g * (1 - b1)
            v = v * b2 + g * g * (1 - b2)
            power = step.to(float64)
            first = m / (1.0 - b1**power).to(p.dtype)
            second = v / (1.0 - b2**power).to(p.dtype)
            new.append((p - rate * first / (second.sqrt() + self.eps), m, v, step))
        return tuple(tensor for column in zip(*new, strict=True) for tensor in column)

    def flops(self, out: Spec, lr: Spec, *tensors: Spec) -> int:
        return (12 + (2 if self.weight_decay else 0)) * sum(p.size for p in tensors[: self.count])


# ---------------------------------------------------------------- gradients as a whole


class GlobalNorm(Op):
    """out = root of the sum of squares over all elements of all inputs, a float64.   dx = g * x / out"""

    keeps_output = True

    def infer(self, *gradients: Any) -> Spec:
        for g in gradients:
            require_float(self.name, g)
        return Spec((), float64)

    def forward(self, *gradients: Array) -> Any:
        """The norm as one np.float64, finite also where the squares are too large for float32.

        >>> float(GlobalNorm().forward(np.array([[3.0]]), np.array([0.0, 4.0])))
        5.0
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return np.float64(math.sqrt(sum(map(_sum_of_squares, gradients))))

    def vjp(self, g: Tensor, out: Tensor, *gradients: Tensor) -> tuple[Gradient, ...]:
        return tuple(x * (g / out).to(x.dtype) for x in gradients)

    def composite(self, *gradients: Tensor) -> Tensor:
        total = (gradients[0].to(float64) ** 2).sum()
        for g in gradients[1:]:
            total = total + (g.to(float64) ** 2).sum()
        return total.sqrt()

    def flops(self, out: Spec, *gradients: Spec) -> int:
        return 2 * sum(g.size for g in gradients)


def _sum_of_squares(x: Array) -> float:
    row = x.reshape(-1)
    found = float(np.dot(row, row))
    if not math.isfinite(found) and row.dtype != float64:  # the squares may be too large for float32
        found = _sum_of_squares(row.astype(float64))
    return found


@dataclass
class ScaleAll(Op):
    """x *= factor for `count` tensors x.   Inputs: factor (no axes), then the tensors."""

    count: int

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]  # depends on how many tensors there are
        """The tensors."""
        return tuple(range(1, self.count + 1))

    def infer(self, factor: Any, *tensors: Any) -> Spec:
        _check_scalar(self, "factor", factor, "f")
        for x in tensors:
            require_float(self.name, x)
        return Spec(tensors[0].shape, tensors[0].dtype)

    def forward(self, factor: Array, *tensors: Array) -> Array:
        by = float(factor)
        if by != 1:
            for x in tensors:
                np.multiply(x, by, out=x)
        return tensors[0]

    def composite(self, factor: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The scaled tensors."""
        return tuple(x * factor.to(x.dtype) for x in tensors)

    def flops(self, out: Spec, factor: Spec, *tensors: Spec) -> int:
        return sum(x.size for x in tensors)


def _sample(op: Op, columns: int, *last: Array) -> Sample:
    shapes = [(3, 4), (5,)] * columns
    return Sample(op, np.array(0.1), *shapes, *last, low=0.1, differentiable=False)


_STEPS = (np.array(0), np.array(7))
SGDUpdate.samples = [
    _sample(SGDUpdate(2), 2),
    _sample(SGDUpdate(2, weight_decay=0.1), 2),
    _sample(SGDUpdate(2, 0.9, False, 0.1), 3),
    _sample(SGDUpdate(2, 0.9, True, 0.1), 3),
]
AdamUpdate.samples = [
    _sample(AdamUpdate(2), 4, *_STEPS),
    _sample(AdamUpdate(2, (0.8, 0.9), 1e-6, 0.1), 4, *_STEPS),
    _sample(AdamUpdate(2, weight_decay=0.1, decoupled=True), 4, *_STEPS),
]
GlobalNorm.samples = [Sample(None, (3, 4), (0, 2), ())]
ScaleAll.samples = [_sample(ScaleAll(2), 1)]
