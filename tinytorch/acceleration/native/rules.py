"""Which kernel computes which op: rules that the lowering follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinytorch.acceleration.fused import Fused, parts
from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.kernels.attention import AttentionGradHeads, AttentionHeads
from tinytorch.acceleration.native.kernels.gemm import Gemm, Product, packed, panel_width
from tinytorch.acceleration.native.kernels.lookup import CheckRange, CheckSome, Fill, SumRows, TakeRows
from tinytorch.acceleration.native.kernels.pointwise import Body, Pointwise
from tinytorch.acceleration.native.kernels.reduction import Reduce
from tinytorch.acceleration.native.kernels.rows import (
    CrossEntropyRows,
    LayerNormGradRows,
    LayerNormRows,
    SoftmaxRows,
)
from tinytorch.acceleration.native.kernels.update import AdamStep, UniformDraws
from tinytorch.acceleration.native.lower import Lowering, Rule, lowers
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.passes.elementwise import ELEMENTWISE, is_elementwise
from tinytorch.nn.embedding import Lookup
from tinytorch.ops import attention, index, matmul, norm, random, reduce, softmax, update
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.base import Op
from tinytorch.ops.pool import MaxPool2d
from tinytorch.ops.shape import Permute, Reshape
from tinytorch.ops.spec import Array, Spec, float32, float64


def identity(spec: Spec) -> Body:
    """A body that passes its input on."""
    return Body((), (0,), (0,), {0: spec})


@lowers(*ELEMENTWISE)
def pointwise(low: Lowering, call: Call) -> bool:
    """Element-wise calls: one, or several that were fused."""
    chain = parts(call)
    specs = {v: low.graph.specs[v] for v in (*call.inputs, *call.made)}
    for one in chain:
        specs.update({v: spec_of(call, low, v) for v in (*one.inputs, *one.made)})
        if not is_elementwise(one, specs):
            return False
    inputs = tuple(dict.fromkeys(call.inputs))
    body = Body(chain, inputs, call.made, specs)
    reads = [low.place(v) for v in inputs]
    order = memory_order(reads, specs[call.made[0]])
    low.add(Pointwise(body, reads, [low.new(v, order) for v in call.made], [call]))
    return True


def spec_of(call: Call, low: Lowering, value: int) -> Spec:
    """The spec of a value of the graph, or inside of a fused call."""
    return call.op.specs[value] if isinstance(call.op, Fused) else low.graph.specs[value]


@lowers(Fused)
def fused(low: Lowering, call: Call) -> bool:
    """A fused call by what stands at its front or its end."""
    chain = parts(call)
    for one in (chain[0], chain[-1]):
        rule = _FUSED.get(type(one.op))
        if rule is not None:
            return rule(low, call)
    return pointwise(low, call)


def epilogue(low: Lowering, call: Call) -> tuple[Call, Body, list[Place]]:
    """The call at the front, and the others as a body of its result and of more operands, with places.

    A max-pool at the end is not element-wise: it is left to the kernel of the convolution.
    """
    first, *rest = (one for one in parts(call) if not isinstance(one.op, MaxPool2d))
    (start,) = first.outputs
    made = {v for one in rest for v in one.made}
    extras = tuple(dict.fromkeys(v for one in rest for v in one.inputs if v not in made and v != start))
    specs = {v: spec_of(call, low, v) for one in (first, *rest) for v in (*one.inputs, *one.made)}
    outputs = call.outputs if len(rest) + 1 == len(parts(call)) else parts(call)[-1].inputs
    return first, Body(tuple(rest), (start, *extras), outputs, specs), [low.place(v) for v in extras]


def memory_order(reads: Sequence[Place], spec: Spec) -> tuple[int, ...] | None:
    """The axes of the first read of full shape, slowest first, if it is dense but not row-major."""
    for place in reads:
        if place.shape == spec.shape and not place.contiguous:
            order = tuple(sorted(range(spec.ndim), key=lambda i: (-place.strides[i], i)))
            dense = Place.dense(0, spec, order)
            if all(
                n == 1 or a == b for n, a, b in zip(spec.shape, dense.strides, place.strides, strict=True)
            ):
                return order
    return None


@lowers(reduce.Sum, reduce.Mean, reduce.Max, reduce.Min)
def reduction(low: Lowering, call: Call) -> bool:
    """A reduction, of a body where one was fused into it."""
    *chain, last = parts(call)
    (source,) = last.inputs
    specs = {v: spec_of(call, low, v) for one in (*chain, last) for v in (*one.inputs, *one.made)}
    if specs[source].dtype.name not in ("float32", "float64"):
        return False
    inputs = tuple(dict.fromkeys(call.inputs))
    body = Body(tuple(chain), inputs, (source,), specs)
    low.add(Reduce(last.op, body, [low.place(v) for v in inputs], low.new(call.outputs[0]), [call]))  # type: ignore[arg-type]
    return True


# ---------------------------------------------------------------- products


def is_native_float(low: Lowering, call: Call) -> bool:
    """Whether all operands are float32, or all float64."""
    kinds = {low.graph.specs[v].dtype for v in (*call.inputs, *call.outputs)}
    return kinds <= {float32} or kinds <= {float64}


def add_bias(total: Spec, bias: Spec) -> Body:
    """The body total + bias."""
    return Body((Call(Add(), (0, 1), (2,)),), (0, 1), (2,), {0: total, 1: bias, 2: total})


@lowers(matmul.MatMul)
def matrix_product(low: Lowering, call: Call) -> bool:
    """A product with its epilogue."""
    first, body, extras = epilogue(low, call)
    specs = [body.specs[v] for v in (*first.inputs, *first.outputs)]
    if {s.dtype for s in specs} not in ({float32}, {float64}):
        return False
    a, b = (low.place(v) for v in first.inputs)
    batch, (m, n), k = specs[2].shape[:-2], specs[2].shape[-2:], a.shape[-1]
    product = Product(batch, m, n, k, a.broadcast((*batch, m, k)), b.broadcast((*batch, k, n)))
    if not batch and m <= PREPACKED:
        product = fixed_panels(low, product, first.inputs[1])
    low.add(Gemm(product, body, extras, [low.new(v) for v in call.outputs], [call]))
    return True


PREPACKED = 48
"""Rows up to which weights are kept in panels: packing at each run took a seventh of it with 32 rows. With 64
it takes less than the fetching of panels ahead gains, and a second copy of the weights is spared."""


def fixed_panels(low: Lowering, product: Product, value: int) -> Product:
    """The product with b in panels that are made once, if b never changes in this program."""
    root, views = value, []
    while root in low.makers and isinstance(low.graph.calls[low.makers[root]].op, Permute | Reshape):
        maker = low.graph.calls[low.makers[root]]
        views.append(maker.op)
        root = maker.inputs[0]
    if not low.is_fixed(root):
        return product
    width = panel_width(product.m, product.a.dtype)
    views.reverse()

    def make(array: Array) -> Array:
        for op in views:
            array = op.forward(array)
        return packed(array.reshape(product.k, product.n), width)

    spec = Spec((-(-product.n // width), product.k, width), product.a.dtype)
    place = low.packed(root, spec, make)
    return Product(product.batch, product.m, product.n, product.k, product.a, place, width)


# ---------------------------------------------------------------- rows


def dense(low: Lowering, value: int) -> Place:
    """A value's place, row-major: its own, or a copy."""
    place = low.place(value)
    if place.contiguous:
        return place
    room = low.room(place.spec)
    low.copy(place, room)
    return room


def matrix(place: Place, columns: int) -> Place:
    """A dense place as a matrix of so many columns."""
    found = place.seen_through(Reshape((place.size // columns, columns)))
    assert found is not None, "a dense place takes any shape"
    return found


@lowers(softmax.Softmax, softmax.LogSoftmax)
def softmax_rows(low: Lowering, call: Call) -> bool:
    op, spec = call.op, low.graph.specs[call.outputs[0]]
    if not is_native_float(low, call) or op.axis != spec.ndim - 1:  # type: ignore[attr-defined]
        return False
    n = spec.shape[-1]
    source = matrix(dense(low, call.inputs[0]), n)
    target = matrix(low.new(call.outputs[0]), n)
    low.add(SoftmaxRows([source], [target], [call], log=isinstance(op, softmax.LogSoftmax)))
    return True


@lowers(norm.LayerNorm)
def layer_norm(low: Lowering, call: Call) -> bool:
    if not is_native_float(low, call):
        return False
    x, weight, bias = call.inputs
    n = low.graph.specs[weight].size
    reads = [matrix(dense(low, x), n), *(dense(low, v) for v in (weight, bias))]
    out, *rest = (low.new(v) for v in call.outputs)
    low.add(LayerNormRows(reads, [matrix(out, n), *rest], [call], call.op.eps))  # type: ignore[attr-defined]
    return True


@lowers(norm.LayerNormGrad)
def layer_norm_grad(low: Lowering, call: Call) -> bool:
    if not is_native_float(low, call):
        return False
    g, x, weight, average, rstd = call.inputs
    n = low.graph.specs[weight].size
    reads = [*(matrix(dense(low, v), n) for v in (g, x)), *(dense(low, v) for v in (weight, average, rstd))]
    dx, dweight, dbias = (low.new(v) for v in call.outputs)
    low.add(LayerNormGradRows(reads, [matrix(dx, n), dweight, dbias], [call]))
    return True


@lowers(softmax.CrossEntropy)
def cross_entropy(low: Lowering, call: Call) -> bool:
    logits, labels = call.inputs
    if low.graph.specs[logits].dtype not in (float32, float64):
        return False
    op: softmax.CrossEntropy = call.op  # type: ignore[assignment]
    classes, place = low.graph.specs[logits].shape[1], dense(low, labels)
    low.check(CheckRange(place, 0, classes, op.ignore_index, [call]), labels)
    if op.reduction == "mean":
        low.check(CheckSome(place, op.ignore_index, [call]), labels)
    reads = [dense(low, logits), place]
    low.add(CrossEntropyRows(op, reads, [low.new(v) for v in call.outputs], [call]))
    return True


@lowers(attention.Attention)
def attention_heads(low: Lowering, call: Call) -> bool:
    op: attention.Attention = call.op  # type: ignore[assignment]
    reads = [low.place(v) for v in call.inputs]
    if {place.dtype for place in reads[:3]} not in ({float32}, {float64}):
        return False
    out, weights = call.outputs
    kept = low.users.get(weights) or weights in low.graph.results()
    writes = [low.new(out, (0, 2, 1, 3)), *([low.new(weights)] if kept else [])]
    low.add(AttentionHeads(op, reads, writes, [call]))
    return True


@lowers(attention.AttentionGrad)
def attention_grad(low: Lowering, call: Call) -> bool:
    if not is_native_float(low, call):
        return False
    reads = [*(low.place(v) for v in call.inputs[:4]), dense(low, call.inputs[4])]
    writes = [low.new(v, (0, 2, 1, 3)) for v in call.outputs]
    low.add(AttentionGradHeads(call.op, reads, writes, [call]))  # type: ignore[arg-type]
    return True


# ---------------------------------------------------------------- tables


@lowers(index.Take, Lookup)
def take(low: Lowering, call: Call) -> bool:
    table, ids = call.inputs
    place, rows = dense(low, ids), low.graph.specs[table].shape[0]
    lowest = 0 if isinstance(call.op, Lookup) else -rows
    low.check(CheckRange(place, lowest, rows, None, [call]), ids)
    low.add(TakeRows(dense(low, table), place, low.new(call.outputs[0]), [call]))
    return True


@lowers(index.TakeGrad)
def take_grad(low: Lowering, call: Call) -> bool:
    g, ids = (dense(low, v) for v in call.inputs)
    if g.dtype not in (float32, float64):
        return False
    rows = low.graph.specs[call.outputs[0]].shape[0]
    low.check(CheckRange(ids, -rows, rows, None, [call]), call.inputs[1])
    low.add(SumRows(g, ids, low.new(call.outputs[0]), [call]))
    return True


@lowers(index.SliceGrad)
def slice_grad(low: Lowering, call: Call) -> bool:
    g, out = low.place(call.inputs[0]), low.new(call.outputs[0])
    target = out.seen_through(index.Slice(call.op.key))  # type: ignore[attr-defined]
    if target is None or g.dtype.name == "float16":
        return False
    low.add(Fill(out, 0, []))
    low.copy(g, target, call)
    return True


# ---------------------------------------------------------------- states


@lowers(update.SGDUpdate)
def sgd(low: Lowering, call: Call) -> bool:
    return call.op.count == 1 and pointwise(low, call)  # type: ignore[attr-defined]


@lowers(update.AdamUpdate)
def adam(low: Lowering, call: Call) -> bool:
    op: update.AdamUpdate = call.op  # type: ignore[assignment]
    n = op.count
    columns = [call.inputs[1 + i : 1 + i + n] for i in range(0, len(call.inputs) - 1, n)]
    new = [call.writes[i : i + n] for i in range(0, len(call.writes), n)]
    rate = low.place(call.inputs[0])
    for i in range(n):
        reads = [rate, *(flat(low, column[i]) for column in columns[:4]), low.place(columns[4][i])]
        writes = [matrix(low.new(column[i]), low.graph.specs[column[i]].size) for column in new[:3]]
        low.add(AdamStep(op, reads, [*writes, low.new(new[3][i])], [call] if i == 0 else []))
    return True


def flat(low: Lowering, value: int) -> Place:
    """A value as one dense row."""
    place = dense(low, value)
    return matrix(place, place.size)


@lowers(random.Uniform)
def uniform(low: Lowering, call: Call) -> bool:
    (state,) = call.inputs
    writes = [low.new(call.outputs[0]), low.new(call.writes[0])]
    low.add(UniformDraws(call.op, [low.place(state)], writes, [call]))  # type: ignore[arg-type]
    return True


@lowers(index.Assign)
def assign(low: Lowering, call: Call) -> bool:
    """A new version of the whole: the old one with a part written over, in place where the state lets it."""
    op: index.Assign = call.op  # type: ignore[assignment]
    (new,) = call.writes
    old, value = (low.place(v) for v in call.inputs)
    if value.dtype != old.dtype:
        return False
    target = low.new(new)
    part = target if op.key is None else target.seen_through(index.Slice(op.key))
    if part is None:
        return False
    if op.key is not None and target != old:
        low.copy(old, target)
    low.copy(value.broadcast(part.shape), part, call)
    return True


_FUSED = {
    matmul.MatMul: matrix_product,
    reduce.Sum: reduction,
    reduce.Mean: reduction,
    reduce.Max: reduction,
    reduce.Min: reduction,
}
"""What lowers a fused call that has such an op at its front or its end."""


def fuses(*ops: type[Op]) -> Callable[[Rule], Rule]:
    """Decorator: the rule for fused calls with such an op at their front."""

    def add(rule: Rule) -> Rule:
        _FUSED.update(dict.fromkeys(ops, rule))
        return rule

    return add
