"""What must hold of one op's fields and inputs before a program with it may run, beyond what `infer` refuses.

An op in a model is made by functions that check their arguments, or as the gradient of an op that was
checked, so that its own `infer` need not. An op from a file is made by nobody: what a forward pass would
read out of bounds, or only find out in the middle of a run, is refused here.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinytorch.errors import ProgramError
from tinytorch.ops.activation import GeluTanhGrad
from tinytorch.ops.arithmetic import Clip, Div
from tinytorch.ops.attention import Attention, AttentionGrad
from tinytorch.ops.base import Op
from tinytorch.ops.batchnorm import BatchNorm, BatchNormGrad
from tinytorch.ops.blocks import BLOCK, PANEL, BlockLinear, BlockLookup, QuantizeBlocks
from tinytorch.ops.compare import Binary, Where
from tinytorch.ops.conv import Conv2d, Conv2dInputGrad, Conv2dWeightGrad, Convolution
from tinytorch.ops.elementwise import ReluGrad
from tinytorch.ops.index import Assign, Gather, GatherGrad, Slice, SliceGrad, TakeGrad
from tinytorch.ops.integer import GroupMatMul, IntConv2d, IntMatMul
from tinytorch.ops.matmul import LinearInputGrad, LinearWeightGrad
from tinytorch.ops.norm import LayerNorm, LayerNormGrad
from tinytorch.ops.pool import AvgPool2d, AvgPool2dGrad, MaxPool2d, MaxPool2dGrad, MaxPool2dPick, Pooling
from tinytorch.ops.quantize import FakeQuantize, Quantize
from tinytorch.ops.quantized import Conv2dInt8, LinearInt4, LinearInt8
from tinytorch.ops.reduce import ArgMax, Reduction
from tinytorch.ops.rotary import Rotary
from tinytorch.ops.shape import Concat, Pad
from tinytorch.ops.softmax import CrossEntropy, Softmax
from tinytorch.ops.sparse import TERMS, Sparse
from tinytorch.ops.spec import DType, Spec, bool_, float64, require_float
from tinytorch.ops.update import AdamUpdate, GlobalNorm, ScaleAll, SGDUpdate

MOST_STEP, MOST_WINDOW = 2**20, 2**18
"""Of a stride, padding, dilation or kernel; and of the elements of a kernel, which loops go over."""


def require(holds: bool, text: str) -> None:
    """Raise ProgramError with this text unless it holds."""
    if not holds:
        raise ProgramError(text)


@functools.singledispatch
def check_op(op: Op, *specs: Spec) -> None:
    """Refuse fields and inputs that the op's `infer` takes and its `forward` does not.

    Raises ProgramError; a TypeError where there are more or fewer inputs than the op takes, or whatever
    error an op's `infer` raises.
    """


@functools.singledispatch
def scratch_bytes(op: Op, *specs: Spec) -> int:
    """Bytes that an op takes beside its inputs and outputs, where that can be more than they have."""
    return 0


# ---------------------------------------------------------------- element by element


def _same_dtype(a: Spec, b: Spec) -> None:
    require(a.dtype == b.dtype, f"operands of {a.dtype} and {b.dtype}; both must have one dtype")


@check_op.register
def _(op: Binary, a: Spec, b: Spec) -> None:
    _same_dtype(a, b)


@check_op.register
def _(op: Div, a: Spec, b: Spec) -> None:
    require_float(op.name, a, b)


@check_op.register
def _(op: Where, condition: Spec, a: Spec, b: Spec) -> None:
    _same_dtype(a, b)


@check_op.register
def _(op: ReluGrad, g: Spec, b: Spec) -> None:
    require_float(op.name, g, b)
    require(g == b, f"a gradient {g} for {b}")


@check_op.register
def _(op: GeluTanhGrad, g: Spec, x: Spec, s: Spec) -> None:
    require_float(op.name, g, x, s)
    require(g == x == s, f"a gradient {g} and {s} for {x}")


@check_op.register
def _(op: Clip, a: Spec) -> None:
    require(a.dtype != bool_, "clips numbers, not bool")
    _representable(op.low, a.dtype)
    _representable(op.high, a.dtype)


@check_op.register
def _(op: Pad, a: Spec) -> None:
    _representable(op.value, a.dtype)


def _representable(value: float, dtype: DType) -> None:
    """Refuse a number that NumPy cannot make one of this dtype of."""
    if dtype.kind == "i":
        info = np.iinfo(dtype)
        require(info.min <= value <= info.max, f"{value} does not fit into {dtype}")


# ---------------------------------------------------------------- axes, reductions, products


def _axis(axis: int, ndim: int) -> None:
    require(0 <= axis < ndim, f"axis {axis} of {ndim}; counted from the front")


@check_op.register
def _(op: Reduction, a: Spec) -> None:
    _axes(op.axis, a.ndim)


@check_op.register
def _(op: ArgMax, a: Spec) -> None:
    require(len(op.axis) == 1, f"axes {op.axis}; takes one")
    _axes(op.axis, a.ndim)


def _axes(axes: tuple[int, ...], ndim: int) -> None:
    require(list(axes) == sorted(set(axes)), f"axes {axes} are not in order, each once")
    for axis in axes:
        _axis(axis, ndim)


@check_op.register
def _(op: Softmax, a: Spec) -> None:
    _axis(op.axis, a.ndim)


@check_op.register
def _(op: Concat, *inputs: Spec) -> None:
    require(bool(inputs), "joins nothing")
    _axis(op.axis, inputs[0].ndim)


@check_op.register
def _(op: LinearInputGrad, g: Spec, w: Spec) -> None:
    require_float(op.name, g, w)
    require(w.ndim == 2 and g.shape[-1:] == w.shape[:1], f"a gradient {g} for a weight {w}")


@check_op.register
def _(op: LinearWeightGrad, g: Spec, x: Spec) -> None:
    require_float(op.name, g, x)
    require(g.ndim == x.ndim > 0 and g.shape[:-1] == x.shape[:-1], f"a gradient {g} for an input {x}")


# ---------------------------------------------------------------- index


def _integers(ids: Spec) -> None:
    require(ids.dtype.kind == "i", f"indices of {ids.dtype}")


@check_op.register
def _(op: TakeGrad, g: Spec, ids: Spec) -> None:
    _integers(ids)
    require(g.shape[: ids.ndim] == ids.shape, f"rows {g} for indices {ids}")
    require(op.rows > 0 or ids.size == 0 == op.rows, f"{op.rows} rows for {ids.size} indices")


@check_op.register
def _(op: Gather, a: Spec, ids: Spec) -> None:
    _axis(op.axis, a.ndim)


@check_op.register
def _(op: GatherGrad, g: Spec, ids: Spec) -> None:
    _integers(ids)
    _axis(op.axis, g.ndim)
    require(g.shape == ids.shape, f"a gradient {g} for indices {ids}")
    require(op.size > 0 or ids.size == 0 == op.size, f"an axis of size {op.size} for {ids.size} indices")


@check_op.register
def _(op: SliceGrad, g: Spec) -> None:
    part = Slice(op.key).infer(Spec(op.shape, g.dtype))
    require(part == g, f"a gradient {g} for a part {part}")


@check_op.register
def _(op: Assign, a: Spec, value: Spec) -> None:
    require(a.dtype == value.dtype, f"{value.dtype} assigned to {a.dtype}; cast it first")


# ---------------------------------------------------------------- layers


def _like(found: Any, *given: Spec) -> None:
    """Refuse inputs of a gradient that are not the outputs of its forward op."""
    outputs = found if isinstance(found, tuple) else (found,)
    require(outputs == given, f"gradient and outputs {given} of an op whose outputs are {outputs}")


def _steps(*pairs: tuple[int, int], least: int = 1) -> None:
    for step in (n for two in pairs for n in two):
        require(least <= step <= MOST_STEP, f"{step} is not from {least} to {MOST_STEP:,}")


def _window(height: int, width: int) -> None:
    _steps((height, width))
    require(height * width <= MOST_WINDOW, f"a kernel of {height}x{width}; at most {MOST_WINDOW:,} elements")


@check_op.register
def _(op: Quantize | FakeQuantize, *inputs: Spec) -> None:
    require(-128 <= op.low <= op.high <= 127, f"codes from {op.low} to {op.high} are not those of int8")


def _geometry(op: Convolution) -> Conv2d:
    """The forward op of a convolution or its gradient, its fields checked."""
    _steps(op.stride, op.dilation)
    _steps(op.padding, least=0)
    require(0 < op.groups <= MOST_STEP, f"{op.groups} groups")
    return Conv2d(op.stride, op.padding, op.dilation, op.groups)


def _filters(w: Spec) -> None:
    require(w.ndim == 4, f"filters {w}; expected four axes")
    _window(*w.shape[2:])


@check_op.register
def _(op: Conv2d | IntConv2d, x: Spec, w: Spec, b: Spec | None = None) -> None:
    _geometry(op)
    _filters(w)


@check_op.register
def _(op: Conv2dInt8, x: Spec, x_scale: Spec, w: Spec, w_scale: Spec, zero: Spec | None = None) -> None:
    _geometry(op)
    _filters(w)


@check_op.register
def _(op: Conv2dInputGrad, g: Spec, w: Spec) -> None:
    forward = _geometry(op)
    _filters(w)
    require(g.ndim == 4, f"a gradient {g}; expected four axes")
    _like(forward.infer(Spec((g.shape[0], w.shape[1] * op.groups, *op.size), g.dtype), w), g)


@check_op.register
def _(op: Conv2dWeightGrad, g: Spec, x: Spec) -> None:
    forward = _geometry(op)
    _window(*op.kernel)
    require(g.ndim == x.ndim == 4, f"a gradient {g} for {x}; expected four axes")
    require(g.shape[1] > 0, "no filters")
    _like(forward.infer(x, Spec((g.shape[1], x.shape[1] // op.groups, *op.kernel), g.dtype)), g)


@check_op.register
def _(op: Pooling, x: Spec) -> None:
    _pooling(op)


def _pooling(op: Pooling) -> None:
    _window(*op.kernel)
    _steps(op.stride)
    _steps(op.padding, least=0)


@check_op.register
def _(op: MaxPool2dGrad, g: Spec, index: Spec) -> None:
    _pooling(op)
    _like(
        MaxPool2d(op.kernel, op.stride, op.padding).infer(Spec((*g.shape[:2], *op.size), g.dtype)), g, index
    )


@check_op.register
def _(op: MaxPool2dPick, x: Spec, index: Spec) -> None:
    _pooling(op)
    found = MaxPool2d(op.kernel, op.stride, op.padding).infer(x)
    _like(found, Spec(index.shape, x.dtype), index)


@check_op.register
def _(op: AvgPool2dGrad, g: Spec) -> None:
    _pooling(op)
    _like(AvgPool2d(op.kernel, op.stride, op.padding).infer(Spec((*g.shape[:2], *op.size), g.dtype)), g)


@check_op.register
def _(op: LayerNormGrad, g: Spec, x: Spec, weight: Spec, average: Spec, rstd: Spec) -> None:
    _like(LayerNorm().infer(x, weight, weight), g, average, rstd)


@check_op.register
def _(op: BatchNormGrad, g: Spec, x: Spec, weight: Spec, average: Spec, variance: Spec) -> None:
    _like(BatchNorm().infer(x, weight, weight), g, average, variance)


@check_op.register
def _(op: AttentionGrad, g: Spec, q: Spec, k: Spec, v: Spec, p: Spec) -> None:
    _like(Attention(op.causal, op.scale).infer(q, k, v), g, p)


@check_op.register
def _(op: CrossEntropy, logits: Spec, labels: Spec) -> None:
    require(0 <= op.label_smoothing <= 1, f"label_smoothing {op.label_smoothing} is not from 0 to 1")
    require(op.reduction in ("mean", "sum", "none"), f"there is no reduction {op.reduction!r}")


# ---------------------------------------------------------------- training


def _tensors(count: int, columns: int, given: int) -> None:
    expected = 1 + columns * count
    require(count > 0 and given == expected, f"{given} inputs for {count} tensors; expected {expected}")


def _finite(*numbers: float) -> None:
    require(all(map(math.isfinite, numbers)), f"{numbers} are not all finite")


@check_op.register
def _(op: SGDUpdate, *specs: Spec) -> None:
    _finite(op.momentum, op.weight_decay)
    _tensors(op.count, 3 if op.momentum else 2, len(specs))


@check_op.register
def _(op: AdamUpdate, *specs: Spec) -> None:
    _tensors(op.count, 5, len(specs))
    require(all(0 <= beta < 1 for beta in op.betas), f"betas {op.betas} are not from 0 to below 1")
    _finite(op.eps, op.weight_decay)


@check_op.register
def _(op: GlobalNorm, *specs: Spec) -> None:
    require(bool(specs), "the norm of nothing")


@check_op.register
def _(op: ScaleAll, *specs: Spec) -> None:
    _tensors(op.count, 1, len(specs))


# ---------------------------------------------------------------- memory beside inputs and outputs


def _framed(image: Spec, padding: tuple[int, int]) -> int:
    """Bytes of images with the padding around them."""
    n, c, h, w = (max(size, 1) for size in image.shape)
    return n * c * (h + 2 * padding[0]) * (w + 2 * padding[1]) * image.dtype.itemsize


def _row_of_columns(x: Spec, kernel: tuple[int, int], out_width: int) -> int:
    """Bytes of what the windows of one row of outputs hold."""
    n, c = x.shape[:2]
    return n * c * math.prod(kernel) * out_width * x.dtype.itemsize


@scratch_bytes.register
def _(op: Conv2d, x: Spec, w: Spec, b: Spec | None = None) -> int:
    out = op.infer(x, w)
    return _framed(x, op.padding) + _row_of_columns(x, (w.shape[2], w.shape[3]), out.shape[3])


@scratch_bytes.register
def _(op: IntConv2d, x: Spec, w: Spec) -> int:
    """Without a kernel for codes, sums are made of float64, which holds them all."""
    wide, out = Spec(x.shape, float64), op.infer(x, w)
    columns = _row_of_columns(wide, (w.shape[2], w.shape[3]), out.shape[3])
    return 8 * (x.size + w.size + out.size) + _framed(wide, op.padding) + columns


@scratch_bytes.register
def _(op: Conv2dInt8, x: Spec, x_scale: Spec, w: Spec, *rest: Spec) -> int:
    return scratch_bytes(IntConv2d(op.stride, op.padding, op.dilation, op.groups), x, w)


@scratch_bytes.register
def _(op: IntMatMul | GroupMatMul | LinearInt8 | LinearInt4, x: Spec, *rest: Spec) -> int:
    """Without a kernel for codes, sums are made of float32, a part at a time: operands, and result, anew."""
    w = rest[1] if isinstance(op, LinearInt8 | LinearInt4) else rest[0]
    rows = x.size // max(x.shape[-1], 1)
    return 4 * (x.size + 3 * w.size) + 12 * rows * w.shape[0]


@scratch_bytes.register
def _(op: BlockLinear, x: Spec, scale: Spec, sums: Spec, w: Spec) -> int:
    """Without a kernel, blocks are unpacked, and products made of float32, a block at a time."""
    rows, k = x.size // max(x.shape[-1], 1), x.shape[-1]
    return 4 * x.size + 4 * op.n * k + 4 * 8 * op.n * (k // BLOCK) + 4 * 8 * rows * op.n


@scratch_bytes.register
def _(op: BlockLookup, w: Spec, ids: Spec) -> int:
    """Without a kernel, the whole panel of each id is unpacked."""
    return 16 * PANEL * ids.size * w.shape[1] * BLOCK


@scratch_bytes.register
def _(op: Rotary | QuantizeBlocks, x: Spec, *rest: Spec) -> int:
    return 4 * x.nbytes


@scratch_bytes.register
def _(op: Sparse, x: Spec, values: Spec, *rest: Spec) -> int:
    """Without a kernel, products are made of a few rows at a time, beside what is gathered for them."""
    out = op.infer(x, values, *rest)
    rows = x.size // max(x.shape[-1], 1)
    terms = min(max(TERMS, values.size), values.size * rows)
    return 2 * x.dtype.itemsize * int(x.size + terms + out.size)


@scratch_bytes.register
def _(op: Conv2dInputGrad, g: Spec, w: Spec) -> int:
    x = op.infer(g, w)
    return _framed(x, op.padding) + _row_of_columns(x, (w.shape[2], w.shape[3]), g.shape[3])


@scratch_bytes.register
def _(op: Conv2dWeightGrad, g: Spec, x: Spec) -> int:
    return _framed(x, op.padding) + _row_of_columns(x, op.kernel, g.shape[3])


@scratch_bytes.register
def _(op: Pooling, x: Spec, *rest: Spec) -> int:
    return _framed(x, op.padding)


@scratch_bytes.register
def _(op: MaxPool2dGrad | AvgPool2dGrad, g: Spec, *index: Spec) -> int:
    return _framed(op.infer(g, *index), op.padding)
