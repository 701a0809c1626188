"""Element-wise ops as expressions: for each the instructions that compute it, and Python that says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.acceleration.native import mathematics as m
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.values import FLOAT, Value
from tinytorch.ops import activation, arithmetic, compare, elementwise, quantize, update
from tinytorch.ops.base import Op
from tinytorch.ops.spec import Spec, float32, float64, int8

Emit = Callable[..., Any]


@dataclass(frozen=True)
class Expression:
    """How one op is computed on single numbers or vectors of them, and what a reader sees."""

    emit: Emit
    """(emitter, op, *values) to a value, or to one for each output."""
    text: str
    """Python for one element, with {0}, {1} or {all} for inputs, and its fields by name or in {options}."""


def _binary(operator: Callable[[Value, Value], Value], text: str) -> Expression:
    return Expression(lambda e, op, a, b: operator(a, b), text)


def _unary(function: Callable[[Emitter, Value], Value], text: str) -> Expression:
    return Expression(lambda e, op, a: function(e, a), text)


def _extreme(e: Emitter, a: Value, b: Value, sign: str) -> Value:
    """The larger or smaller; NaN if one is."""
    chosen = e.select(a.compare(sign, b), a, b)
    return e.select(a.differs(a), a, chosen) if a.is_float else chosen


def _power(e: Emitter, op: Op, a: Value, b: Value) -> Value:
    return m.exp(e, m.log(e, a) * b)


def _clip(e: Emitter, op: Any, a: Value) -> Value:
    low = e.select(a < op.low, op.low, a) if op.low > -np.inf else a
    return e.select(low > op.high, op.high, low) if op.high < np.inf else low


def _sign(e: Emitter, a: Value) -> Value:
    zero, one = a.like(0), a.like(1)
    found = e.select(a > zero, one, e.select(a < zero, -one, zero))
    return e.select(a.differs(a), a, found) if a.is_float else found


def gelu_parts(e: Emitter, x: Value) -> tuple[Value, Value]:
    """x * s and s = 1 / (1 + e ** -2u) with u = sqrt(2/pi) * (x + 0.044715 x^3)."""
    root = float(np.sqrt(2 / np.pi))
    u = x * e.multiply_add(x * x, x.like(-2 * root * 0.044715), x.like(-2 * root))
    s = x.like(1.0) / (m.held_exp(e, u) + 1.0)
    return x * s, s


def _gelu_grad(e: Emitter, op: Op, g: Value, x: Value, s: Value) -> Value:
    root = float(np.sqrt(2 / np.pi))
    d = x * e.multiply_add(x * x, x.like(6 * root * 0.044715), x.like(2 * root)) * (x.like(1.0) - s)
    return (d + 1.0) * s * g


def _sgd(e: Emitter, op: Any, rate: Value, p: Value, g: Value, *buffer: Value) -> tuple[Value, ...]:
    """The new parameter and, with momentum, the new buffer."""
    d = g + p * op.weight_decay if op.weight_decay else g
    if not buffer:
        return (p - d * rate,)
    moved = buffer[0] * op.momentum + d
    return p - (d + moved * op.momentum if op.nesterov else moved) * rate, moved


def _code(e: Emitter, op: Any, x: Value, scale: Value, zero: Value | None) -> Value:
    """round(x / scale) + zero within the range, still as float."""
    code = e.intrinsic("rint", x / scale)
    code = code if zero is None else code + zero
    high = e.select(code > op.high, op.high, code)
    return e.select(high < op.low, op.low, high)


def _quantize(e: Emitter, op: Op, x: Value, scale: Value, zero: Value | None = None) -> Value:
    shift = None if zero is None else e.convert(zero, float32 if x.element == FLOAT else float64)
    code = _code(e, op, x, scale, shift)
    return e.convert(e.select(code.equals(code), code, 0.0 if shift is None else shift), int8)


def _fake_quantize(e: Emitter, op: Op, x: Value, scale: Value, zero: Value) -> Value:
    shift = e.convert(zero, float32 if x.element == FLOAT else float64)
    return (_code(e, op, x, scale, shift) - shift) * scale


EXPRESSIONS: dict[type[Op], Expression] = {
    arithmetic.Add: _binary(lambda a, b: a + b, "{0} + {1}"),
    arithmetic.Sub: _binary(lambda a, b: a - b, "{0} - {1}"),
    arithmetic.Mul: _binary(lambda a, b: a * b, "{0} * {1}"),
    arithmetic.Div: _binary(lambda a, b: a / b, "{0} / {1}"),
    arithmetic.Maximum: Expression(lambda e, op, a, b: _extreme(e, a, b, ">"), "maximum({0}, {1})"),
    arithmetic.Minimum: Expression(lambda e, op, a, b: _extreme(e, a, b, "<"), "minimum({0}, {1})"),
    arithmetic.Neg: _unary(lambda e, a: -a, "-{0}"),
    arithmetic.Copy: _unary(lambda e, a: a, "{0}"),
    arithmetic.Abs: _unary(
        lambda e, a: e.intrinsic("fabs", a) if a.is_float else e.select(a < 0, -a, a), "abs({0})"
    ),
    arithmetic.Sign: _unary(_sign, "sign({0})"),
    arithmetic.Clip: Expression(lambda e, op, a: _clip(e, op, a), "minimum(maximum({0}, {low}), {high})"),
    arithmetic.Cast: Expression(lambda e, op, a: e.convert(a, op.dtype), "{dtype}({0})"),
    elementwise.Exp: _unary(m.exp, "exp({0})"),
    elementwise.Log: _unary(m.log, "log({0})"),
    elementwise.Sqrt: _unary(lambda e, a: e.intrinsic("sqrt", a), "sqrt({0})"),
    elementwise.Tanh: _unary(m.tanh, "tanh({0})"),
    elementwise.Sigmoid: _unary(m.sigmoid, "1 / (1 + exp(-{0}))"),
    elementwise.Erf: _unary(m.erf, "erf({0})"),
    elementwise.Relu: _unary(lambda e, a: e.larger(a, 0), "maximum({0}, 0)"),
    elementwise.ReluGrad: Expression(lambda e, op, g, b: e.select(b > 0, g, 0), "{0} if {1} > 0 else 0"),
    activation.GeluTanh: Expression(lambda e, op, x: gelu_parts(e, x), "gelu({0})"),
    activation.GeluTanhGrad: Expression(_gelu_grad, "gelu_grad({0}, {1}, {2})"),
    compare.Equal: _binary(lambda a, b: a.equals(b), "{0} == {1}"),
    compare.NotEqual: _binary(lambda a, b: a.differs(b), "{0} != {1}"),
    compare.Less: _binary(lambda a, b: a < b, "{0} < {1}"),
    compare.LessEqual: _binary(lambda a, b: a <= b, "{0} <= {1}"),
    compare.Greater: _binary(lambda a, b: a > b, "{0} > {1}"),
    compare.GreaterEqual: _binary(lambda a, b: a >= b, "{0} >= {1}"),
    compare.And: _binary(lambda a, b: a & b, "{0} & {1}"),
    compare.Or: _binary(lambda a, b: a | b, "{0} | {1}"),
    compare.Not: Expression(lambda e, op, a: a ^ (True if a.element.width == 1 else -1), "~{0}"),
    update.SGDUpdate: Expression(_sgd, "sgd({all}{options})"),
    compare.Where: Expression(lambda e, op, c, a, b: e.select(c, a, b), "{1} if {0} else {2}"),
    quantize.Quantize: Expression(_quantize, "quantize({all}, low={low}, high={high})"),
    quantize.FakeQuantize: Expression(_fake_quantize, "fake_quantize({all}, low={low}, high={high})"),
}

_COMPARISONS = (compare.Comparison,)


def emit_op(
    e: Emitter, op: Op, specs: Sequence[Spec], outputs: Sequence[Spec], values: Sequence[Value]
) -> tuple[Value, ...]:
    """Emit one op on values; operands take the dtype of the result, but those of comparisons."""
    if isinstance(op, compare.Binary) and not isinstance(op, _COMPARISONS):
        values = [e.convert(v, outputs[0].dtype) for v in values]
    elif isinstance(op, compare.Where):
        values = [values[0], *(e.convert(v, outputs[0].dtype) for v in values[1:])]
    elif isinstance(op, update.SGDUpdate):
        values = [e.convert(values[0], outputs[0].dtype), *values[1:]]
    found = EXPRESSIONS[type(op)].emit(e, op, *values)
    return found if isinstance(found, tuple) else (found,)


def text_of(op: Op, names: Sequence[str]) -> str:
    """The op as Python on single numbers."""
    fields = {k: "bool_" if str(v) == "bool" else str(v) for k, v in vars(op).items()}
    usual = vars(type(op))
    options = [f", {k}={v}" for k, v in fields.items() if k in usual and v != str(usual[k])]
    return EXPRESSIONS[type(op)].text.format(*names, all=", ".join(names), options="".join(options), **fields)
