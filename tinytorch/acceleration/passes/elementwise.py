"""Which ops go element by element, as far as passes need to know."""

from __future__ import annotations

from collections.abc import Mapping

from tinytorch.acceleration.graph import Call
from tinytorch.ops import activation, arithmetic, compare, elementwise, quantize, update
from tinytorch.ops.base import Op
from tinytorch.ops.context import rules
from tinytorch.ops.spec import Spec, bool_, float32, float64, int8, int32, int64

ELEMENTWISE: tuple[type[Op], ...] = (
    arithmetic.Add,
    arithmetic.Sub,
    arithmetic.Mul,
    arithmetic.Div,
    arithmetic.Maximum,
    arithmetic.Minimum,
    arithmetic.Neg,
    arithmetic.Copy,
    arithmetic.Abs,
    arithmetic.Sign,
    arithmetic.Clip,
    arithmetic.Cast,
    elementwise.Exp,
    elementwise.Log,
    elementwise.Sqrt,
    elementwise.Tanh,
    elementwise.Sigmoid,
    elementwise.Erf,
    elementwise.Relu,
    elementwise.ReluGrad,
    activation.GeluTanh,
    activation.GeluTanhGrad,
    compare.Equal,
    compare.NotEqual,
    compare.Less,
    compare.LessEqual,
    compare.Greater,
    compare.GreaterEqual,
    compare.And,
    compare.Or,
    compare.Not,
    compare.Where,
    quantize.Quantize,
    quantize.FakeQuantize,
)
"""Ops whose result at a place depends on their operands at that place alone."""

_NATIVE = {float32, float64, int32, int64, int8, bool_}


def is_elementwise(call: Call, specs: Mapping[int, Spec]) -> bool:
    """Whether the call can be part of a chain that one loop computes, accurately in its dtypes."""
    op = call.op
    if type(op).__name__ in rules:
        return False
    inputs, outputs = [specs[v] for v in call.inputs], [specs[v] for v in call.made]
    if isinstance(op, update.SGDUpdate):
        return op.count == 1 and outputs[0].size > 0
    if type(op) not in ELEMENTWISE or not {s.dtype for s in (*inputs, *outputs)} <= _NATIVE:
        return False
    if any(s.size == 0 for s in (*inputs, *outputs)):
        return False
    kinds = {s.dtype.kind for s in inputs}
    if isinstance(op, arithmetic.Cast):
        return not (
            inputs[0].dtype.kind == "f" and outputs[0].dtype.kind == "i"
        )  # NaN and overflow are NumPy's
    if isinstance(op, elementwise.Erf):
        return outputs[0].dtype == float32
    takes_any = (
        *(compare.And, compare.Or, compare.Not, compare.Where, arithmetic.Copy),
        *(quantize.Quantize, quantize.FakeQuantize),
    )
    if isinstance(op, takes_any):
        return True
    return "b" not in kinds
