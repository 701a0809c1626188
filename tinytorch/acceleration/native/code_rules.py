"""Which kernel computes which op on codes: products of int8 and of four bits, codes for rows."""

from __future__ import annotations

import numpy as np

from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.image_rules import tail, windows_of
from tinytorch.acceleration.native.kernels.codes import QuantizeEachRow
from tinytorch.acceleration.native.kernels.convolution_codes import ConvolveCodes, filter_codes, run_of
from tinytorch.acceleration.native.kernels.frames import CHANNELS_LAST
from tinytorch.acceleration.native.kernels.integer import (
    GroupGemm,
    IntGemm,
    code_width,
    packed_codes,
    packed_nibbles,
)
from tinytorch.acceleration.native.kernels.products import Integers, Pairs, Quads
from tinytorch.acceleration.native.lower import Lowering, lowers
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.rules import dense, epilogue, fuses, matrix
from tinytorch.ops.arithmetic import Abs
from tinytorch.ops.elementwise import Exp, Relu, Sigmoid
from tinytorch.ops.integer import GroupMatMul, IntConv2d, IntMatMul
from tinytorch.ops.pool import AvgPool2d, MaxPool2d
from tinytorch.ops.quantize import Quantize, QuantizeRows
from tinytorch.ops.shape import Layout, Reshape
from tinytorch.ops.softmax import Softmax
from tinytorch.ops.spec import Array, Spec, float32, int8

_POSITIVE = (Abs, Exp, Relu, Sigmoid, Softmax)
"""Ops that give nothing below 0."""
_KEEPS = (Layout, MaxPool2d, AvgPool2d, QuantizeRows)
"""Ops that give nothing below 0 where there was nothing below it."""


def is_nonnegative(low: Lowering, value: int) -> bool:
    """Whether a value is made by ops none of which can give a number below 0, whatever they are given."""
    while value in low.makers:
        call = low.graph.calls[low.makers[value]]
        members = {v: one for one in parts(call) for v in one.made}
        maker = members[value]
        while isinstance(maker.op, _KEEPS) and maker.inputs[0] in members:
            maker = members[maker.inputs[0]]
        if isinstance(maker.op, _POSITIVE) or (isinstance(maker.op, Quantize) and maker.op.low >= 0):
            return True
        if not isinstance(maker.op, _KEEPS):
            return False
        value = maker.inputs[0]
    return False


def _rows(low: Lowering, value: int) -> Place:
    """Codes (..., k) as a matrix."""
    place = dense(low, value)
    return matrix(place, place.shape[-1])


@fuses(IntMatMul)
@lowers(IntMatMul)
def int_product(low: Lowering, call: Call) -> bool:
    """A product of int8 with its epilogue; weights must be fixed, for they are laid out in panels once."""
    first, body, extras = epilogue(low, call)
    x, w = first.inputs
    out = body.specs[first.outputs[0]]
    if not low.is_fixed(w) or out.ndim != 2:
        return False
    n, k = low.graph.specs[w].shape
    codes: Integers = Quads() if is_nonnegative(low, x) else Pairs()
    width = code_width(out.shape[0])
    spec = Spec((-(-n // width), -(-k // codes.codes), width, codes.codes), int8)

    def make(array: Array) -> Array:
        return packed_codes(array, width, codes.codes)

    place = low.packed(w, spec, make)
    low.add(IntGemm(_rows(low, x), place, n, codes, body, extras, [low.new(v) for v in call.outputs], [call]))
    return True


@fuses(GroupMatMul)
@lowers(GroupMatMul)
def group_product(low: Lowering, call: Call) -> bool:
    """A product of int8 by four-bit codes with its epilogue; weights and scales must be fixed."""
    first, body, extras = epilogue(low, call)
    x, w, scale = first.inputs
    out = body.specs[first.outputs[0]]
    (n, half), groups = low.graph.specs[w].shape, low.graph.specs[scale].shape[1]
    if not (low.is_fixed(w) and low.is_fixed(scale)) or 2 * half // groups % 8:
        return False
    if out.ndim != 2 or out.dtype != float32:
        return False
    width = code_width(out.shape[0])
    panels = -(-n // width)

    def scales(array: Array) -> Array:
        full = np.zeros((panels * width, groups), np.float32)
        full[:n] = array
        return np.ascontiguousarray(full.reshape(panels, width, groups).transpose(0, 2, 1))

    packed = low.packed(
        w, Spec((panels, half // 4, width, 4), int8), lambda array: packed_nibbles(array, width)
    )
    placed = low.packed(scale, Spec((panels, groups, width), float32), scales)
    outs = [low.new(v) for v in call.outputs]
    low.add(GroupGemm(_rows(low, x), packed, placed, n, body, extras, outs, [call]))
    return True


@fuses(IntConv2d)
@lowers(IntConv2d)
def int_convolution(low: Lowering, call: Call) -> bool:
    """A convolution of int8 with its epilogue; filters must be fixed."""
    first, body, extras = epilogue(low, call)
    op: IntConv2d = first.op  # type: ignore[assignment]
    x, w = first.inputs
    if not low.is_fixed(w):
        return False
    image, (o, c, kh, kw) = low.place(x), low.graph.specs[w].shape
    windows = windows_of(op, tail(image), (kh, kw))
    codes: Integers = Quads() if is_nonnegative(low, x) else Pairs()
    runs, length = run_of(windows, c)
    outputs, width = o // op.groups, 8 if o // op.groups <= 8 else 16
    shape = (op.groups, -(-outputs // width), kh * runs, -(-length // codes.codes), width, codes.codes)
    filters = low.packed(
        w, Spec(shape, int8), lambda array: filter_codes(array, op.groups, width, codes.codes, runs)
    )
    outs = [low.new(v, CHANNELS_LAST) for v in call.outputs]
    spec = body.specs[first.outputs[0]]
    low.add(ConvolveCodes(codes, c, windows, image, filters, body, extras, outs, [call], spec.shape))
    return True


@lowers(QuantizeRows)
def quantize_rows(low: Lowering, call: Call) -> bool:
    x = low.graph.specs[call.inputs[0]]
    if x.dtype != float32:
        return False
    reads = [matrix(dense(low, call.inputs[0]), x.shape[-1])]
    codes, scale = (low.new(v) for v in call.outputs)
    rows = scale.seen_through(Reshape((reads[0].shape[0],)))
    assert rows is not None, "a dense place takes any shape"
    low.add(QuantizeEachRow(reads, [matrix(codes, x.shape[-1]), rows], [call]))
    return True
