"""Following channels: what each op of a graph does to the entries of its inputs' axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.compression.channels import HEADS, MAKES, READS, WIDTH, Channels, Entries
from tinytorch.compression.layout import blocks, flattened, lies_along
from tinytorch.ops import activation, attention, batchnorm, compare, conv, index, matmul, norm, pool
from tinytorch.ops import reduce as reductions
from tinytorch.ops import shape as shapes
from tinytorch.ops import softmax as softmaxes
from tinytorch.ops.spec import Shape

Axes: TypeAlias = "list[Entries]"
"""The entries of each axis of a value."""
Rule: TypeAlias = "Callable[[Follow, Call], None]"


class Follow:
    """The entries of all values of a graph: states have their own, and each op passes them on by its rule.

    `weights` are values that depend on nothing but states and constants; `makers`: entries of weights that
    make channels, with the path of the layer whose op they are used in.
    """

    def __init__(self, graph: Graph, named: dict[int, str]) -> None:
        self.channels = Channels()
        self.axes: dict[int, Axes] = {}
        self.weights = {*graph.states, *graph.constants}
        self.specs = graph.specs
        self.makers: list[tuple[Entries, str]] = []
        for value in graph.inputs:
            self.axes[value] = self._given(value, "it is an input of the model")
        for value in graph.constants:
            self.axes[value] = self._given(value, "a constant of its size is made in forward")
        for value in graph.states:
            why = "" if value in named else "it meets a tensor that is no parameter or buffer of the model"
            self.axes[value] = self._given(value, why)
        for call in graph.calls:
            self._call(call)
        for value in graph.results():
            self.fix_all(value, "", "the model returns it")

    def _given(self, value: int, why: str) -> Axes:
        return [self.channels.fresh(size, "", why) for size in self.specs[value].shape]

    def _call(self, call: Call) -> None:
        rule = next((RULES[kind] for kind in type(call.op).__mro__ if kind in RULES), _unknown)
        rule(self, call)
        if self.weights.issuperset(call.inputs):
            self.weights.update(call.made)

    # ------------------------------------------------------------ what rules are made of

    def shape(self, value: int) -> Shape:
        return self.specs[value].shape

    def opaque(self, size: int, call: Call, why: str) -> Entries:
        """Entries that cannot be removed."""
        return self.channels.fresh(size, call.path, why)

    def fix(self, entries: Entries, call: Call, why: str) -> None:
        self.channels.fix(entries, call.path, why)

    def fix_all(self, value: int, path: str, why: str) -> None:
        for entries in self.axes[value]:
            self.channels.fix(entries, path, why)

    def make(self, call: Call, axes: Axes) -> None:
        """Give the call's first output these axes."""
        self.axes[call.outputs[0]] = axes

    def aligned(self, values: Sequence[Axes], call: Call, out: Shape) -> Axes:
        """The axes that inputs have together as they broadcast to a shape: equal sizes are joined."""
        found: Axes = []
        for place, size in enumerate(out):
            met = [axes[place - len(out)] for axes in values if len(axes) >= len(out) - place]
            same = [entries for entries in met if len(entries) == size]
            for entries in met:
                if len(entries) != size:
                    self.fix(entries, call, f"{call.op.name} stretches it over another axis")
            for entries in same[1:]:
                self.channels.join(same[0], entries)
            found.append(same[0] if same else self.opaque(size, call, "nothing has it alone"))
        return found

    def contract(self, x: Entries, w: Entries, call: Call, weighs: bool) -> None:
        """Entries that are multiplied in pairs and summed; `weighs`: those of w are of a weight."""
        self.channels.join(x, w)
        if weighs:
            self.channels.roles[w] |= READS
        else:
            self.fix(x, call, f"{call.op.name} sums over it in a product of two activations")

    def produce(self, w: Entries, call: Call) -> Entries:
        """The axis of a weight along which it makes the channels."""
        self.channels.roles[w] |= MAKES
        self.makers.append((w, call.path))
        return w


# ---------------------------------------------------------------- rules


def _unknown(f: Follow, call: Call) -> None:
    why = f"what {call.op.name} does to channels is not known"
    for value in call.inputs:
        f.fix_all(value, call.path, why)
    for value in call.made:
        f.axes[value] = [f.opaque(size, call, why) for size in f.shape(value)]


def _elementwise(f: Follow, call: Call) -> None:
    axes = f.aligned([f.axes[v] for v in call.inputs], call, f.shape(call.outputs[0]))
    for value in call.outputs:
        f.axes[value] = axes


def _linear(f: Follow, call: Call) -> None:
    x, w, b = (f.axes[v] for v in call.inputs)
    f.contract(x[-1], w[1], call, call.inputs[1] in f.weights)
    f.channels.join(w[0], b[0])
    f.make(call, [*x[:-1], f.produce(w[0], call)])


def _matmul(f: Follow, call: Call) -> None:
    a, b = (f.axes[v] for v in call.inputs)
    left, right = (v in f.weights for v in call.inputs)
    if left and not right:
        f.contract(b[-2], a[-1], call, True)
        f.produce(a[-2], call)
    else:
        f.contract(a[-1], b[-2], call, right)
        if right:
            f.produce(b[-1], call)
    lead = f.aligned([a[:-2], b[:-2]], call, f.shape(call.outputs[0])[:-2])
    f.make(call, [*lead, a[-2], b[-1]])


def _conv2d(f: Follow, call: Call) -> None:
    x, w, *bias = (f.axes[v] for v in call.inputs)
    for entries in (*x[2:], *w[2:]):
        f.fix(entries, call, "conv2d slides a window along it")
    for b in bias:
        f.channels.join(w[0], b[0])
    groups = call.op.groups  # type: ignore[attr-defined]
    if groups > 1 and len(w[1]) == 1:  # depthwise: a channel takes the filters that read it along
        f.fix(w[1], call, "each filter reads one channel")
        f.channels.join(np.repeat(x[1], len(w[0]) // groups), w[0])
        f.produce(w[0], call)
    else:
        f.contract(x[1][: len(w[1])], w[1], call, call.inputs[1] in f.weights)
        for entries in (
            x[1],
            f.produce(w[0], call),
        ):  # the same place in every group, so that groups stay equal
            rows = entries.reshape(groups, -1)
            for row in rows[1:]:
                f.channels.join(rows[0], row)
    why = "conv2d makes an image of it"
    spatial = [f.opaque(size, call, why) for size in f.shape(call.outputs[0])[2:]]
    f.make(call, [x[0], w[0], *spatial])


def _pool(f: Follow, call: Call) -> None:
    x = f.axes[call.inputs[0]]
    for entries in x[2:]:
        f.fix(entries, call, "windows are pooled along it")
    spatial = [f.opaque(n, call, "pooling makes an image of it") for n in f.shape(call.outputs[0])[2:]]
    for value in call.outputs:
        f.axes[value] = [*x[:2], *spatial]


def _permute(f: Follow, call: Call) -> None:
    x, op = f.axes[call.inputs[0]], call.op
    f.make(call, [x[i] for i in op.order])  # type: ignore[attr-defined]


def _reshape(f: Follow, call: Call) -> None:
    value, made = call.inputs[0], call.outputs[0]
    before, after = f.shape(value), f.shape(made)
    axes = f.axes[value]
    found = [f.opaque(size, call, "reshape adds it") for size in after]
    for entries, size in zip(axes, before, strict=True):
        if size == 1:  # an axis of size 1 can be left out anywhere
            f.fix(entries, call, "it is the only one when reshape takes its axis away")
    for ins, outs in blocks(before, after):
        parts = [axes[i] for i in ins]
        if len(outs) == 1:
            found[outs[0]] = _merged(f, call, parts)
        elif len(ins) == 1:
            for place, entries in zip(outs, _split(f, call, parts[0], [after[i] for i in outs]), strict=True):
                found[place] = entries
        else:
            for entries in parts:
                f.fix(entries, call, f"reshape of {before} to {after} mixes it with another axis")
    f.make(call, found)


def _merged(f: Follow, call: Call, parts: Axes) -> Entries:
    """The entries of an axis that several become: those of the one that has channels."""
    if len(parts) == 1:
        return parts[0]
    having = [i for i, entries in enumerate(parts) if f.channels.free(entries).any()]
    if len(having) > 1:
        for i in having:
            f.fix(parts[i], call, "reshape makes one axis of it and another one with channels")
    sizes = [len(entries) for entries in parts]
    return flattened(parts[having[0] if having else 0], sizes, having[0] if having else 0)


def _split(f: Follow, call: Call, entries: Entries, sizes: Sequence[int]) -> Axes:
    """The entries of the axes that one becomes: the axis that channels lie along, or else the outermost.

    What was flattened goes back. Channels that are new to this are taken in runs, as heads are: each run goes
    as a whole.
    """
    if not f.channels.free(entries).any():
        return [entries[:size] for size in sizes]
    found = [f.opaque(size, call, "it is a place within each channel") for size in sizes]
    along = lies_along(f.channels.sets(entries).reshape(sizes))
    if along is None:
        runs = entries.reshape(sizes[0], -1)
        for column in runs.T[1:]:
            f.channels.join(runs[:, 0], column)
    axis = along or 0
    found[axis] = np.moveaxis(entries.reshape(sizes), axis, 0).reshape(sizes[axis], -1)[:, 0]
    return found


def _expand(f: Follow, call: Call) -> None:
    f.make(call, f.aligned([f.axes[call.inputs[0]]], call, f.shape(call.outputs[0])))


def _concat(f: Follow, call: Call) -> None:
    axis, parts = call.op.axis, [f.axes[v] for v in call.inputs]  # type: ignore[attr-defined]
    rest = [[*axes[:axis], *axes[axis + 1 :]] for axes in parts]
    out = f.shape(call.outputs[0])
    found = f.aligned(rest, call, (*out[:axis], *out[axis + 1 :]))
    f.make(call, [*found[:axis], np.concatenate([axes[axis] for axes in parts]), *found[axis:]])


def _pad(f: Follow, call: Call) -> None:
    found = []
    for entries, widths in zip(f.axes[call.inputs[0]], call.op.widths, strict=True):  # type: ignore[attr-defined]
        if any(widths):
            f.fix(entries, call, "it is padded")
        frame = [f.opaque(width, call, "it is padding") for width in widths]
        found.append(np.concatenate([frame[0], entries, frame[1]]))
    f.make(call, found)


def _slice(f: Follow, call: Call) -> None:
    given, key = list(f.axes[call.inputs[0]]), list(call.op.key)  # type: ignore[attr-defined]
    named = sum(part is not None and part is not Ellipsis for part in key)
    fill = [slice(None)] * (len(given) - named)
    at = key.index(Ellipsis) if Ellipsis in key else len(key)
    found: Axes = []
    for part in (*key[:at], *fill, *key[at + 1 :]):
        if part is None:
            found.append(f.opaque(1, call, "an index adds it"))
            continue
        entries = given.pop(0)
        if isinstance(part, int) or part.indices(len(entries)) != (0, len(entries), 1):
            f.fix(entries, call, "a part of it is picked by number")
        if not isinstance(part, int):
            found.append(entries[part])
    f.make(call, found)


def _take(f: Follow, call: Call) -> None:
    table, ids = (f.axes[v] for v in call.inputs)
    f.fix(table[0], call, "rows are picked by number")
    if call.inputs[0] in f.weights:
        for entries in table[1:]:
            f.produce(entries, call)
    f.make(call, [*ids, *table[1:]])


def _reduction(f: Follow, call: Call) -> None:
    x, op = f.axes[call.inputs[0]], call.op
    found: Axes = []
    for i, entries in enumerate(x):
        if i not in op.axis:  # type: ignore[attr-defined]
            found.append(entries)
            continue
        if isinstance(op, reductions.Sum):
            f.channels.mark(entries, WIDTH)
        else:
            f.fix(entries, call, f"{op.name} is taken over it")
        if op.keepdims:  # type: ignore[attr-defined]
            found.append(f.opaque(1, call, f"it is a {op.name}"))
    f.make(call, found)


def _softmax(f: Follow, call: Call) -> None:
    axes = f.axes[call.inputs[0]]
    f.fix(axes[call.op.axis], call, f"{call.op.name} is taken over it")  # type: ignore[attr-defined]
    f.make(call, axes)


def _layer_norm(f: Follow, call: Call) -> None:
    x, weight, bias = (f.axes[v] for v in call.inputs)
    for entries, *others in zip(x[-len(weight) :], weight, bias, strict=True):
        for other in others:
            f.channels.join(entries, other)
        f.channels.mark(entries, WIDTH)
    f.make(call, x)
    for value in call.outputs[1:]:
        f.axes[value] = [f.opaque(size, call, "it is a statistic") for size in f.shape(value)]


def _batch_norm(f: Follow, call: Call) -> None:
    x, *others = (f.axes[v] for v in call.inputs)
    for (entries,) in others:
        f.channels.join(x[1], entries)
    f.make(call, x)
    for value in call.outputs[1:]:
        f.axes[value] = [x[1]]


def _attention(f: Follow, call: Call) -> None:
    q, k, v, *mask = (f.axes[value] for value in call.inputs)
    out, weights = call.outputs
    lead = f.aligned([q[:2], k[:2], v[:2]], call, f.shape(out)[:2])
    f.channels.join(k[2], v[2])
    f.contract(q[3], k[3], call, False)
    f.channels.mark(lead[1], HEADS, call.path)
    f.axes[out] = [*lead, q[2], v[3]]
    f.axes[weights] = f.aligned([[*lead, q[2], k[2]], *mask], call, f.shape(weights))


RULES: dict[type[Any], Rule] = {
    compare.Unary: _elementwise,
    compare.Binary: _elementwise,
    compare.Where: _elementwise,
    activation.GeluTanh: _elementwise,
    shapes.Contiguous: _elementwise,
    matmul.Linear: _linear,
    matmul.MatMul: _matmul,
    conv.Conv2d: _conv2d,
    pool.MaxPool2d: _pool,
    pool.AvgPool2d: _pool,
    shapes.Permute: _permute,
    shapes.Reshape: _reshape,
    shapes.Expand: _expand,
    shapes.Concat: _concat,
    shapes.Pad: _pad,
    index.Slice: _slice,
    index.Take: _take,
    reductions.Reduction: _reduction,
    softmaxes.Softmax: _softmax,
    norm.LayerNorm: _layer_norm,
    batchnorm.BatchNorm: _batch_norm,
    attention.Attention: _attention,
}
"""By op or base of ops; all others are of unknown effect."""
