"""Which kernel computes which op on images: convolutions, pooling, and their gradients."""

from __future__ import annotations

import numpy as np

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.kernels.convolution import Convolve
from tinytorch.acceleration.native.kernels.frames import CHANNELS_LAST, Windows, filter_width
from tinytorch.acceleration.native.kernels.lookup import Fill
from tinytorch.acceleration.native.kernels.pooling import PoolBackward, PoolForward
from tinytorch.acceleration.native.kernels.weights import ConvolveWeights
from tinytorch.acceleration.native.kernels.winograd import Winograd, transformed_filters
from tinytorch.acceleration.native.lower import Lowering, lowers
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.rules import add_bias, epilogue, fuses, is_native_float
from tinytorch.ops import conv, pool
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Permute, Reshape
from tinytorch.ops.spec import Array, Spec, float32, float64
from tinytorch.ops.window import Pair


def filter_panels(w: Array, groups: int, width: int) -> Array:
    """w: (o, c, kh, kw) as (groups, panels, kh, kw, c, width), the last panel filled up with zeros.

    >>> filter_panels(np.arange(3.0).reshape(3, 1, 1, 1), 1, 2).reshape(2, 2)
    array([[0., 1.],
           [2., 0.]])
    """
    o, c, kh, kw = w.shape
    outputs = o // groups
    panels = -(-outputs // width)
    full = np.zeros((groups, panels * width, c, kh, kw), w.dtype)
    full[:, :outputs] = w.reshape(groups, outputs, c, kh, kw)
    return np.ascontiguousarray(full.reshape(groups, panels, width, c, kh, kw).transpose(0, 1, 4, 5, 3, 2))


def panels_of(low: Lowering, value: int, place: Place, groups: int) -> Place:
    """Filters in panels: made once where they never change, else by the program at each run.

    `place` is the value itself as (o, c, kh, kw), perhaps with axes swapped and turned.
    """
    o, c, kh, kw = place.shape
    outputs = o // groups
    width = filter_width(outputs, place.dtype)
    panels = -(-outputs // width)
    spec = Spec((groups, panels, kh, kw, c, width), place.dtype)
    if low.is_fixed(value) and place == low.place(value):
        return low.packed(value, spec, lambda w: filter_panels(w, groups, width))
    room = low.room(spec)
    if outputs % width:
        low.add(Fill(room, 0, []))
    grouped = place.seen_through(Reshape((groups, outputs, c, kh, kw)))
    target = room.seen_through(Permute((0, 1, 5, 4, 2, 3)))  # (groups, panels, width, c, kh, kw)
    assert grouped is not None, "splitting an axis is a view"
    assert target is not None, "splitting an axis is a view"
    whole = outputs // width
    parts = [(slice(0, whole * width), slice(0, whole), width)] if whole else []
    if outputs % width:
        parts.append((slice(whole * width, outputs), slice(whole, whole + 1), outputs % width))
    for rows, numbers, size in parts:
        source = grouped.seen_through(Slice((slice(None), rows)))
        goal = target.seen_through(Slice((slice(None), numbers, slice(0, size))))
        assert source is not None, "a slice is a view"
        assert goal is not None, "a slice is a view"
        split = source.seen_through(Reshape((groups, numbers.stop - numbers.start, size, c, kh, kw)))
        assert split is not None, "splitting an axis is a view"
        low.copy(split, goal)
    return room


def windows_of(op: conv.Convolution, image: Pair, kernel: Pair) -> Windows:
    """How the windows of a convolution lie on its padded image."""
    (h, w), (ph, pw) = image, op.padding
    return Windows((h + 2 * ph, w + 2 * pw), op.padding, (1, 1), kernel, op.stride, op.dilation, op.groups)


def tail(spec: Spec | Place) -> Pair:
    """Height and width."""
    return spec.shape[2], spec.shape[3]


def suits_winograd(low: Lowering, op: conv.Conv2d, w: int, x: Place, out: Spec) -> bool:
    """Whether 3x3 windows are many and deep enough for their transforms to pay; filters must be fixed."""
    o, c, kh, kw = low.graph.specs[w].shape
    plain = (kh, kw, op.stride, op.dilation, op.groups) == (3, 3, (1, 1), (1, 1), 1)
    return plain and low.is_fixed(w) and c >= 8 and o >= 8 and out.shape[2] * out.shape[3] >= 36


@fuses(conv.Conv2d)
@lowers(conv.Conv2d)
def convolve(low: Lowering, call: Call) -> bool:
    """A convolution with its epilogue; a bias of its own is one more addition."""
    first, body, extras = epilogue(low, call)
    op: conv.Conv2d = first.op  # type: ignore[assignment]
    x, w, *bias = first.inputs
    place, spec, kernel = low.place(x), body.specs[first.outputs[0]], tail(body.specs[w])
    if place.dtype not in (float32, float64):
        return False
    if bias:
        beside = low.place(bias[0]).seen_through(Reshape((spec.shape[1], 1, 1)))
        assert beside is not None, "a row is viewed as a column"
        assert call is first, "passes take biases out of fused calls"
        body, extras = add_bias(spec, beside.spec), [beside]
    outs = [low.new(v, CHANNELS_LAST) for v in call.outputs]
    if suits_winograd(low, op, w, place, spec):
        width = filter_width(spec.shape[1], place.dtype)
        panels = -(-spec.shape[1] // width)
        turned = Spec((16, panels, place.shape[1], width), place.dtype)
        filters = low.packed(w, turned, lambda array: transformed_filters(array, width))
        low.add(Winograd(place, op.padding, filters, body, extras, outs, [call], spec.shape))
        return True
    filters = panels_of(low, w, low.place(w), op.groups)
    low.add(
        Convolve(windows_of(op, tail(place), kernel), place, filters, body, extras, outs, [call], spec.shape)
    )
    return True


@fuses(conv.Conv2dInputGrad)
@lowers(conv.Conv2dInputGrad)
def convolve_back(low: Lowering, call: Call) -> bool:
    """A convolution of the spread gradient with filters turned around, inputs and outputs swapped."""
    first, body, extras = epilogue(low, call)
    op: conv.Conv2dInputGrad = first.op  # type: ignore[assignment]
    g, w = (low.place(v) for v in first.inputs)
    if g.dtype not in (float32, float64):
        return False
    o, c, kh, kw = w.shape
    groups, outputs = op.groups, o // op.groups
    s_o, s_c, s_h, s_w = w.strides
    # (groups, c, o / groups, kh, kw) with both kernel axes backwards, then groups and c as one axis
    turned = Place(
        w.buffer,
        w.dtype,
        (groups, c, outputs, kh, kw),
        (outputs * s_o, s_c, s_o, -s_h, -s_w),
        w.offset + (kh - 1) * s_h + (kw - 1) * s_w,
    )
    reach = tuple(d * (k - 1) for d, k in zip(op.dilation, (kh, kw), strict=True))
    origin = tuple(r - p for r, p in zip(reach, op.padding, strict=True))
    size = tuple(n + r for n, r in zip(op.size, reach, strict=True))
    windows = Windows(
        (size[0], size[1]), (origin[0], origin[1]), op.stride, (kh, kw), (1, 1), op.dilation, groups
    )
    room = low.room(Spec(turned.shape, turned.dtype))
    low.copy(turned, room)
    flat = room.seen_through(Reshape((groups * c, outputs, kh, kw)))
    assert flat is not None, "a dense place takes any shape"
    filters = panels_of(low, -1, flat, groups)
    outs = [low.new(v, CHANNELS_LAST) for v in call.outputs]
    low.add(Convolve(windows, g, filters, body, extras, outs, [call], body.specs[first.outputs[0]].shape))
    return True


@lowers(conv.Conv2dWeightGrad)
def convolve_weights(low: Lowering, call: Call) -> bool:
    op: conv.Conv2dWeightGrad = call.op  # type: ignore[assignment]
    if not is_native_float(low, call):
        return False
    g, x = (low.place(v) for v in call.inputs)
    windows = windows_of(op, tail(x), op.kernel)
    low.add(ConvolveWeights(windows, g, x, low.new(call.outputs[0]), op.bias, [call]))
    return True


# ---------------------------------------------------------------- pooling


def image_order(place: Place) -> tuple[int, ...] | None:
    """Channels last where the image has them so."""
    return CHANNELS_LAST if place.strides[1] == 1 and place.shape[1] > 1 else None


@lowers(pool.MaxPool2d, pool.AvgPool2d)
def pool_forward(low: Lowering, call: Call) -> bool:
    x = low.place(call.inputs[0])
    if x.dtype.name not in ("float32", "float64"):
        return False
    order = image_order(x)
    values = [call.outputs[0], *(v for v in call.outputs[1:] if low.users.get(v) or v in low.graph.results())]
    low.add(PoolForward(call.op, [x], [low.new(v, order) for v in values], [call]))  # type: ignore[arg-type]
    return True


@lowers(pool.MaxPool2dGrad, pool.AvgPool2dGrad)
def pool_backward(low: Lowering, call: Call) -> bool:
    reads = [low.place(v) for v in call.inputs]
    if reads[0].dtype.name not in ("float32", "float64"):
        return False
    out = low.new(call.outputs[0], image_order(reads[-1]))
    low.add(PoolBackward(call.op, reads, [out], [call]))  # type: ignore[arg-type]
    return True
