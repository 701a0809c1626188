"""Functions of one variable, element by element: exp, log, tanh, relu and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.ops.base import Gradient, Sample
from tinytorch.ops.compare import Binary, Unary
from tinytorch.ops.spec import Array, Spec, float32

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

_quiet = np.errstate(all="ignore")


class Exp(Unary):
    """out = e ** a.   da = g * out"""

    keeps = ()
    keeps_output = True
    cost = 4

    @_quiet
    def forward(self, a: Array) -> Any:
        return np.exp(a)

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        return (g * out,)


class Log(Unary):
    """out = ln(a).   da = g / a"""

    cost = 4
    samples: ClassVar[Any] = [Sample(None, (3, 4), low=0.5), Sample(None, (0, 4)), Sample(None, (), low=0.5)]

    @_quiet
    def forward(self, a: Array) -> Any:
        return np.log(a)

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (g / a,)


class Sqrt(Unary):
    """out = sqrt(a).   da = g / (2 * out)"""

    keeps = ()
    keeps_output = True
    samples: ClassVar[Any] = [Sample(None, (3, 4), low=0.5), Sample(None, (0, 4)), Sample(None, (), low=0.5)]

    @_quiet
    def forward(self, a: Array) -> Any:
        return np.sqrt(a)

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        return (g * 0.5 / out,)


class Tanh(Unary):
    """out = tanh(a).   da = g * (1 - out ** 2)"""

    keeps = ()
    keeps_output = True
    cost = 6

    def forward(self, a: Array) -> Any:
        """(e ** a - e ** -a) / (e ** a + e ** -a), element by element, in the dtype of a.

        -1 and 1 where the powers overflow, and with all digits where a is tiny: there tanh(a) is about a.
        """
        return np.tanh(a)

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        """The gradient of a, alone in a tuple, from g, that of out = tanh(a); of a there is only the Spec."""
        return (g * (1.0 - out * out),)


class Sigmoid(Unary):
    """out = 1 / (1 + e ** -a).   da = g * out * (1 - out)"""

    keeps = ()
    keeps_output = True
    cost = 6

    @_quiet
    def forward(self, a: Array) -> Any:
        """1 / (1 + e ** -a), element by element, in the dtype of a, which stays as it is.

        From 0 to 1 for every a that is not NaN: where e ** -a or e ** a does not fit into the dtype, the
        result is still 0 or 1. A small result keeps its digits: of -20 it is 2.06e-9, not 0. (NumPy's
        warnings are silenced outside.)
        """
        out = np.exp(-a)
        out += 1
        return np.reciprocal(out)

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        return (g * (out * (1.0 - out)),)


class Sin(Unary):
    """out = sin(a).   da = g * cos(a)"""

    cost = 6

    @_quiet
    def forward(self, a: Array) -> Any:
        return np.sin(a)

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (g * cos(a),)


class Cos(Unary):
    """out = cos(a).   da = -g * sin(a)"""

    cost = 6

    @_quiet
    def forward(self, a: Array) -> Any:
        return np.cos(a)

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (-g * sin(a),)


class Erf(Unary):
    """out = 2/sqrt(pi) * integral of e ** -t**2 from 0 to a.   da = g * 2/sqrt(pi) * e ** -a**2"""

    cost = 6

    def forward(self, a: Array) -> Any:
        from scipy.special import erf  # a heavy import that few programs need

        return erf(a).astype(a.dtype, copy=False)

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (g * (exp(-(a * a)) * (2 / np.sqrt(np.pi)).item()),)


class Relu(Unary):
    """out = max(a, 0), NaN stays.   da = g where out > 0"""

    keeps = ()
    keeps_output = True
    floating = False

    def forward(self, a: Array) -> Any:
        """max(a, 0), element by element, in the dtype of a, integers included; NaN stays, and so does a."""
        return np.maximum(a, a.dtype.type(0))

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        return (_relu_grad(g, out),)


class ReluGrad(Binary):
    """out = g where b > 0, else 0

    Done on the bits of g, which are multiplied by 1 or 0: an infinite gradient times 0 would be NaN.
    """

    keeps = (1,)
    samples: ClassVar[Any] = [((3, 4), (3, 4)), ((0, 4), (0, 4))]

    def forward(self, g: Array, b: Array) -> Any:
        bits = f"i{g.itemsize}"
        return np.multiply(g.view(bits), b > 0, dtype=bits).view(g.dtype)

    def vjp(self, g: Tensor, out: Spec, a: Spec, b: Tensor) -> tuple[Gradient, ...]:
        return lambda: _relu_grad(g, b), None


# ---------------------------------------------------------------- the functions people call

_exp, _log, _sqrt, _tanh, _sigmoid = Exp(), Log(), Sqrt(), Tanh(), Sigmoid()
_sin, _cos, _erf, _relu, _relu_grad = Sin(), Cos(), Erf(), Relu(), ReluGrad()


def floating(x: Tensor) -> Tensor:
    """x, in float32 if it holds integers or bools."""
    return x if x._array.dtype.kind == "f" else x.to(float32)


def exp(x: Tensor) -> Tensor:
    """e ** x; integers give float32, as for the functions below.

    >>> exp(tt.Tensor([0.0, 1.0]))
    Tensor([1.    , 2.7183])
    """
    return _exp(floating(x))


def log(x: Tensor) -> Tensor:
    """The natural logarithm; -inf at 0 and NaN below.

    >>> log(tt.Tensor([1.0, 10.0]))
    Tensor([0.    , 2.3026])
    """
    return _log(floating(x))


def sqrt(x: Tensor) -> Tensor:
    """The square root; NaN below 0.

    >>> sqrt(tt.Tensor([4.0, 9.0]))
    Tensor([2., 3.])
    """
    return _sqrt(floating(x))


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh(tt.Tensor([0.0, 1.0]))
    Tensor([0.    , 0.7616])
    """
    return _tanh(floating(x))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e ** -x).

    >>> sigmoid(tt.Tensor([0.0, 2.0]))
    Tensor([0.5   , 0.8808])
    """
    return _sigmoid(floating(x))


def erf(x: Tensor) -> Tensor:
    """The error function.

    >>> erf(tt.Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8427])
    """
    return _erf(floating(x))


def relu(x: Tensor) -> Tensor:
    """max(x, 0).

    >>> relu(tt.Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return _relu(x)


def sin(x: Tensor) -> Tensor:
    """The sine.

    >>> sin(tt.Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8415])
    """
    return _sin(floating(x))


def cos(x: Tensor) -> Tensor:
    """The cosine.

    >>> cos(tt.Tensor([0.0, 1.0]))
    Tensor([1.    , 0.5403])
    """
    return _cos(floating(x))
