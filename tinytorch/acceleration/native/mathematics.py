"""Exponentials and their like on vectors: polynomials, accurate to a few units in the last place."""

from __future__ import annotations

import math

from llvmlite import ir

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.values import DOUBLE, FLOAT, I32, I64, Value

_EXP32 = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
"""e ** r - 1 - r over r^2 on |r| < ln 2 / 2, highest power first: Moshier, Cephes, expf."""
_LOG32 = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
"""(ln(1 + x) - x + x^2 / 2) / x^3 for x in sqrt(1/2) - 1 .. sqrt(2) - 1: Moshier, Cephes, logf."""


def polynomial(e: Emitter, x: Value, coefficients: tuple[float, ...]) -> Value:
    """Horner's rule, highest power first."""
    total = x.like(coefficients[0])
    for c in coefficients[1:]:
        total = e.multiply_add(total, x, x.like(c))
    return total


def exp(e: Emitter, x: Value) -> Value:
    """e ** x: 2 ** k times e ** r with r = x - k ln 2; 0 far below, infinite far above, NaN stays."""
    if x.element != FLOAT:
        return _exp64(e, x)
    low, high = -103.0, 88.72284
    held = e.select(x < low, low, e.select(x > high, high, x))
    k = e.intrinsic("nearbyint", held * 1.44269504088896341)
    r = e.multiply_add(k, x.like(-0.693359375), held)
    r = e.multiply_add(k, x.like(2.12194440e-4), r)
    p = polynomial(e, r, _EXP32)
    p = e.multiply_add(p, r * r, r + 1.0)
    whole = Value(e, e.builder.fptosi(k.ir, _integers(x)))
    half = Value(e, e.builder.ashr(whole.ir, whole.like(1).ir))  # in two steps: 2 ** 128 is no float32
    out = p * _power_of_two(e, half, 127, 23, FLOAT) * _power_of_two(e, whole - half, 127, 23, FLOAT)
    out = e.select(x > high, math.inf, e.select(x < low, 0.0, out))
    return e.select(x.differs(x), x, out)


def _exp64(e: Emitter, x: Value) -> Value:
    low, high = -745.2, 709.79
    held = e.select(x < low, low, e.select(x > high, high, x))
    k = e.intrinsic("nearbyint", held * 1.4426950408889634)
    r = e.multiply_add(k, x.like(-6.93147180369123816490e-01), held)
    r = e.multiply_add(k, x.like(-1.90821492927058770002e-10), r)
    p = polynomial(e, r, tuple(1 / math.factorial(n) for n in range(13, -1, -1)))
    whole = Value(e, e.builder.fptosi(k.ir, _integers(x)))
    half = Value(e, e.builder.ashr(whole.ir, whole.like(1).ir))
    out = p * _power_of_two(e, half, 1023, 52, DOUBLE) * _power_of_two(e, whole - half, 1023, 52, DOUBLE)
    out = e.select(x > 709.782712893384, math.inf, e.select(x < low, 0.0, out))
    return e.select(x.differs(x), x, out)


def held_exp(e: Emitter, x: Value) -> Value:
    """e ** x for x held between -87.3 and 88.3: where smaller and larger are all one."""
    if x.element != FLOAT:
        return _exp64(e, x)
    held = e.select(x < -87.33654, -87.33654, x)
    held = e.select(held > 88.02, 88.02, held)
    k = e.intrinsic("nearbyint", held * 1.44269504088896341)
    r = e.multiply_add(k, x.like(-0.693359375), held)
    r = e.multiply_add(k, x.like(2.12194440e-4), r)
    p = polynomial(e, r, _EXP32)
    p = e.multiply_add(p, r * r, r + 1.0)
    whole = Value(e, e.builder.fptosi(k.ir, _integers(x)))
    return p * _power_of_two(e, whole, 127, 23, FLOAT)


def share_exp(e: Emitter, x: Value) -> Value:
    """e ** x for x of at most 0, as a softmax takes it: 0 below -87.3, where masks put things."""
    return e.select(x < -87.33654, 0.0, held_exp(e, x))


def log(e: Emitter, x: Value) -> Value:
    """ln x; -inf at 0, NaN below."""
    if x.element != FLOAT:
        return _log64(e, x)
    tiny = x < 1.17549435e-38
    scaled = e.select(tiny, x * 33554432.0, x)  # 2 ** 25: out of the subnormal numbers
    bits = e.bits(scaled, I32)
    exponent = Value(e, e.builder.sitofp(((bits >> 23) - 126).ir, x.type))
    mantissa = e.bits((bits & 0x007FFFFF) | 0x3F000000, FLOAT)
    small = mantissa < 0.70710678118654752440
    exponent = e.select(small, exponent - 1.0, exponent)
    exponent = e.select(tiny, exponent - 25.0, exponent)
    r = e.select(small, mantissa + mantissa, mantissa) - 1.0
    square = r * r
    p = polynomial(e, r, _LOG32) * r * square
    p = e.multiply_add(exponent, x.like(-2.12194440e-4), p)
    p = e.multiply_add(square, x.like(-0.5), p)
    out = e.multiply_add(exponent, x.like(0.693359375), r + p)
    return _log_edges(e, x, out)


def _log64(e: Emitter, x: Value) -> Value:
    """By atanh: ln m = 2 (s + s^3/3 + ...), s = (m - 1) / (m + 1), with m in sqrt(1/2) .. sqrt(2)."""
    tiny = x < 2.2250738585072014e-308
    scaled = e.select(tiny, x * 18014398509481984.0, x)  # 2 ** 54
    bits = e.bits(scaled, I64)
    exponent = Value(e, e.builder.sitofp(((bits >> 52) - 1022).ir, x.type))
    mantissa = e.bits((bits & 0x000FFFFFFFFFFFFF) | 0x3FE0000000000000, DOUBLE)
    small = mantissa < 0.70710678118654752440
    exponent = e.select(small, exponent - 1.0, exponent)
    exponent = e.select(tiny, exponent - 54.0, exponent)
    m = e.select(small, mantissa + mantissa, mantissa)
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    p = polynomial(e, square, tuple(2 / n for n in range(23, 1, -2))) * square * s + s * 2.0
    p = e.multiply_add(exponent, x.like(1.90821492927058770002e-10), p)
    out = e.multiply_add(exponent, x.like(6.93147180369123816490e-01), p)
    return _log_edges(e, x, out)


def _log_edges(e: Emitter, x: Value, out: Value) -> Value:
    out = e.select(x.equals(math.inf), math.inf, out)
    out = e.select(x.equals(0.0), -math.inf, out)
    return e.select(e.select(x < 0.0, True, x.differs(x)), math.nan, out)


def sigmoid(e: Emitter, x: Value) -> Value:
    """1 / (1 + e ** -x)."""
    return x.like(1.0) / (exp(e, -x) + 1.0)


def tanh(e: Emitter, x: Value) -> Value:
    """By e ** 2x; by an odd polynomial where |x| < 0.625, so that small results keep their digits."""
    size = e.intrinsic("fabs", x)
    large = x.like(1.0) - x.like(2.0) / (held_exp(e, size * 2.0) + 1.0)
    square = x * x
    if x.element == FLOAT:
        small = polynomial(
            e,
            square,
            (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1),
        )
        small = e.multiply_add(small * square, size, size)
        edge = 0.625
    else:
        p = polynomial(
            e, square, (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
        )
        q = polynomial(
            e, square, (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)
        )
        small = e.multiply_add(p / q * square, size, size)
        edge = 0.625
    out = e.select(size < edge, small, large)
    return e.intrinsic("copysign", out, x)


def erf(e: Emitter, x: Value) -> Value:
    """The error function: a polynomial below 1, else 1 - e ** -x^2 times one (Abramowitz, Stegun, 7.1)."""
    size = e.intrinsic("fabs", x)
    square = x * x
    small = polynomial(
        e,
        square,
        tuple(
            (-1) ** n * 2 / math.sqrt(math.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(10, -1, -1)
        ),
    )
    small = small * size
    t = x.like(1.0) / e.multiply_add(size, x.like(0.3275911), x.like(1.0))
    p = polynomial(e, t, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)) * t
    large = x.like(1.0) - p * held_exp(e, -square)
    return e.intrinsic("copysign", e.select(size < 1.0, small, large), x)


def integer_power(e: Emitter, base: Value, exponent: Value) -> Value:
    """base ** n for a whole number n of 0 or more, by repeated squaring; all single numbers."""
    one = base.like(1.0)
    with e.loop(64, [one, base, exponent]) as loop:  # rounds past the highest bit of n change nothing
        total, square, n = loop.carried
        odd = (n & 1).differs(0)
        loop.carry(
            [e.select(odd, total * square, total), e.select(n.equals(0), square, square * square), n >> 1]
        )
    return loop.results[0]


def _integers(x: Value) -> object:
    element = I32 if x.element == FLOAT else I64
    return element if x.lanes == 1 else ir.VectorType(element, x.lanes)


def _power_of_two(e: Emitter, k: Value, bias: int, shift: int, element: object) -> Value:
    return e.bits((k + bias) << shift, element)
