"""FLOPs that ops say they take: against counted multiplications, and against the table in conventions.md."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tests.ops.test_samples import ABSTRACT, CASES, OPS, Case
from tinytorch.autograd import grad
from tinytorch.nn.embedding import Lookup
from tinytorch.ops import (
    activation,
    arithmetic,
    attention,
    batchnorm,
    blocks,
    compare,
    conv,
    elementwise,
    index,
    integer,
    matmul,
    norm,
    paged,
    pool,
    quantize,
    quantized,
    random,
    reduce,
    rotary,
    shape,
    softmax,
    sparse,
    update,
)
from tinytorch.ops.base import Op
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.spec import Spec, float32, int8, int32, int64
from tinytorch.profiling.counting.flops import OpCost, cost_of

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def spec(*sizes: int) -> Spec:
    return Spec(sizes, float32)


def event(op: Op, *inputs: Spec) -> OpEvent:
    """An op on tensors of these specs, as a watcher sees it."""
    with tt.meta():
        tensors = tuple(tt.zeros(i.shape, dtype=i.dtype) for i in inputs)
        return OpEvent(op, tensors, op.all(*tensors), "", False, 0, 0)


# ---------------------------------------------------------------- all ops


class Costs:
    """An observer that keeps the cost of each op."""

    def __init__(self) -> None:
        self.found: list[tuple[str, OpCost]] = []

    def on_op(self, event: OpEvent) -> None:
        self.found.append((event.op.name, cost_of(event)))

    def on_exit(self, tensor: tt.Tensor, how: str) -> None:
        pass


def costs(case: Case) -> list[tuple[str, OpCost]]:
    """Of the op, and of its gradients where it has some."""
    inputs = [tt.Tensor(array) for array in case.arrays(float32)]
    wanted = [t.requires_grad_() for t in inputs if t.dtype.kind == "f"] if case.differentiable else []
    watch = Costs()
    with observe(watch), tt.enable_grad() if wanted else tt.no_grad():
        outs = case.op.all(*inputs)
        if wanted:
            grad(outs[0], wanted, tt.zeros(*outs[0].shape, dtype=outs[0].dtype))
    return watch.found


@every
def test_costs_are_whole_numbers_and_the_same_without_data(case: Case) -> None:
    found = costs(case)
    assert found
    assert found[0][0] == case.op.name
    for name, cost in found:
        assert type(cost.bytes) is type(cost.matmul_flops) is int, name
        assert cost.bytes >= 0, name
        assert cost.flops is not None, f"{name} has no rule"
        assert type(cost.flops) is int, name
        assert 0 <= cost.matmul_flops <= cost.flops, name
    with tt.meta():
        assert costs(case) == found


@every
def test_what_may_attend_is_at_most_all(case: Case) -> None:
    specs = [Spec(a.shape, a.dtype) for a in case.arrays(float32)]
    seen, pairs = case.op.visible(case.op.infer(*specs), *specs)
    assert 0 <= seen <= pairs


# ---------------------------------------------------------------- products, by counting multiplications


class Counted:
    """A number that counts how often one is multiplied by another."""

    total = 0

    def __mul__(self, other: Any) -> Counted:
        Counted.total += 1
        return self

    def __add__(self, other: Any) -> Counted:
        return self

    __rmul__, __radd__ = __mul__, __add__


def numbers(*sizes: int) -> np.ndarray[Any, Any]:
    out = np.empty(sizes, object)
    out[...] = Counted()
    return out


def multiplications(compute: Callable[[], object]) -> int:
    Counted.total = 0
    compute()
    return Counted.total


def correlate(
    op: conv.Convolution, x: tuple[int, ...], w: tuple[int, ...], add: Callable[..., object]
) -> None:
    """Visit each product of a convolution of shapes x and w: the output, the window's pixel, the weight."""
    n, _, height, width = x
    o, part, kh, kw = w
    (sh, sw), (ph, pw), (dh, dw), groups = op.stride, op.padding, op.dilation, op.groups
    rows = [y for y in range(0, height + 2 * ph, sh) if y + dh * (kh - 1) < height + 2 * ph]
    columns = [y for y in range(0, width + 2 * pw, sw) if y + dw * (kw - 1) < width + 2 * pw]
    for image, out, (r, top), (q, left) in itertools.product(
        range(n), range(o), enumerate(rows), enumerate(columns)
    ):
        group = out // (o // groups)
        for channel, i, j in itertools.product(range(part), range(kh), range(kw)):
            pixel = (image, group * part + channel, top + dh * i, left + dw * j)
            add((image, out, r, q), pixel, (out, channel, i, j))


CONVOLUTIONS = [
    (conv.Conv2d(padding=(1, 1)), (2, 3, 5, 4), (4, 3, 3, 3)),
    (conv.Conv2d((2, 3), (1, 0)), (2, 2, 7, 6), (3, 2, 3, 2)),
    (conv.Conv2d(dilation=(2, 1)), (1, 2, 6, 5), (2, 2, 3, 3)),
    (conv.Conv2d((2, 1), (1, 2), (1, 2), 2), (2, 4, 6, 7), (6, 2, 2, 3)),
    (conv.Conv2d(padding=(1, 1), groups=3), (2, 3, 4, 4), (3, 1, 3, 3)),
    (conv.Conv2d(padding=(1, 1), groups=3), (2, 3, 4, 4), (6, 1, 3, 3)),
]


@pytest.mark.parametrize(("op", "x", "w"), CONVOLUTIONS)
def test_convolutions_and_their_gradients(op: conv.Conv2d, x: tuple[int, ...], w: tuple[int, ...]) -> None:
    out = op.infer(spec(*x), spec(*w)).shape
    g, weight = numbers(*out), numbers(*w)
    framed = numbers(*x[:2], x[2] + 2 * op.padding[0], x[3] + 2 * op.padding[1])
    sums: dict[tuple[int, ...], Any] = {}

    def forward(at: Any, pixel: Any, tap: Any) -> None:
        sums[at] = framed[pixel] * weight[tap] + sums.get(at, 0)

    def into_input(at: Any, pixel: Any, tap: Any) -> None:
        framed[pixel] = g[at] * weight[tap] + framed[pixel]

    def into_weight(at: Any, pixel: Any, tap: Any) -> None:
        weight[tap] = g[at] * framed[pixel] + weight[tap]

    products = multiplications(lambda: correlate(op, x, w, forward))
    assert set(sums) == set(np.ndindex(*out))
    found = op.matmul_flops(spec(*out), spec(*x), spec(*w))
    assert found == 2 * products
    geometry = (op.stride, op.padding, op.dilation, op.groups)
    back = conv.Conv2dInputGrad(*geometry, x[2:])
    assert back.matmul_flops(spec(*x), spec(*out), spec(*w)) == 2 * multiplications(
        lambda: correlate(op, x, w, into_input)
    )
    weights = conv.Conv2dWeightGrad(*geometry, w[2:], True)
    given = spec(*out), spec(*x)
    assert weights.matmul_flops(weights.infer(*given), *given) == 2 * multiplications(
        lambda: correlate(op, x, w, into_weight)
    )
    # a bias is an addition for each result, forward and back
    assert op.flops(spec(*out), spec(*x), spec(*w), spec(w[0])) == found + g.size
    assert weights.flops(weights.infer(*given), *given) == found + g.size


sizes = st.integers(0, 4)


@given(st.lists(sizes, max_size=2), st.lists(sizes, max_size=2), sizes, sizes, sizes)
@settings(max_examples=60, deadline=None)
def test_matrix_products(first: list[int], second: list[int], n: int, k: int, m: int) -> None:
    try:
        np.broadcast_shapes(tuple(first), tuple(second))
    except ValueError:
        second = first
    a, b = (*first, n, k), (*second, k, m)
    op = matmul.MatMul()
    found = op.matmul_flops(op.infer(spec(*a), spec(*b)), spec(*a), spec(*b))
    assert found == 2 * multiplications(lambda: np.matmul(numbers(*a), numbers(*b)) if k else None)


@given(st.lists(sizes, min_size=1, max_size=3), sizes, sizes)
@settings(max_examples=60, deadline=None)
def test_linear_layers_and_their_gradients(rows: list[int], inputs: int, outputs: int) -> None:
    x, w, g = spec(*rows, inputs), spec(outputs, inputs), spec(*rows, outputs)
    flat, weight = numbers(int(np.prod(rows)), inputs), numbers(outputs, inputs)
    back = numbers(len(flat), outputs)
    results = len(flat) * outputs
    forward = 2 * multiplications(lambda: flat @ weight.T if inputs else None)
    cost = cost_of(event(matmul.Linear(), x, w, spec(outputs)))
    assert (cost.matmul_flops, cost.flops) == (forward, forward + results)
    into_input = 2 * multiplications(lambda: back @ weight if outputs else None)
    cost = cost_of(event(matmul.LinearInputGrad(), g, w))
    assert (cost.matmul_flops, cost.flops) == (into_input, into_input)
    into_weight = 2 * multiplications(lambda: back.T @ flat if len(flat) else None)
    cost = cost_of(event(matmul.LinearWeightGrad(), g, x))
    assert (cost.matmul_flops, cost.flops) == (into_weight, into_weight + results)


@given(*(st.integers(1, n) for n in (2, 2, 5, 5, 3, 3)))
@settings(max_examples=60, deadline=None)
def test_attention_in_full_and_causal(b: int, h: int, t: int, s: int, d: int, e: int) -> None:
    q, k, v = spec(b, h, t, d), spec(b, h, s, d), spec(b, h, s, e)
    sees = np.tril(np.ones((t, s), bool), s - t)

    def products(mask: np.ndarray[Any, Any], *lengths: int) -> int:
        """Each pair that may attend takes a product of so many numbers, in each head."""

        def compute() -> None:
            for _ in range(b * h * int(mask.sum())):
                for length in lengths:
                    numbers(1, length) @ numbers(length, 1)

        return 2 * multiplications(compute)

    pairs = b * h * t * s
    for causal in (True, False):
        seen = sees if causal else np.ones_like(sees)
        forward = event(attention.Attention(causal, 0.5), q, k, v)
        back = event(attention.AttentionGrad(0.5, causal), spec(b, h, t, e), q, k, v, spec(b, h, t, s))
        for counted in (True, False):
            mask = seen if counted else np.ones_like(sees)
            cost = cost_of(forward, causal=counted)
            assert cost.matmul_flops == products(mask, d, e)
            assert cost.flops == cost.matmul_flops + 9 * b * h * mask.sum()
            cost = cost_of(back, causal=counted)
            assert cost.matmul_flops == products(mask, d, d, e, e)
            assert cost.flops == cost.matmul_flops + 5 * b * h * mask.sum()
            assert cost.matmul_flops == 2 * cost_of(forward, causal=counted).matmul_flops
    assert cost_of(forward).bytes == 4 * (q.size + k.size + v.size + b * h * t * e + pairs)


# ---------------------------------------------------------------- the table


EACH: dict[type[Op], int] = {
    **dict.fromkeys([arithmetic.Add, arithmetic.Sub, arithmetic.Mul, arithmetic.Div, arithmetic.Neg], 1),
    **dict.fromkeys([arithmetic.Maximum, arithmetic.Minimum, arithmetic.Clip, arithmetic.Abs], 1),
    **dict.fromkeys([arithmetic.Sign, elementwise.Sqrt, elementwise.Relu, elementwise.ReluGrad], 1),
    **dict.fromkeys([compare.Equal, compare.NotEqual, compare.Less, compare.LessEqual], 1),
    **dict.fromkeys([compare.Greater, compare.GreaterEqual, compare.And, compare.Or, compare.Not], 1),
    arithmetic.Pow: 2,
    **dict.fromkeys([elementwise.Exp, elementwise.Log], 4),
    **dict.fromkeys([elementwise.Tanh, elementwise.Sigmoid, elementwise.Erf], 6),
    **dict.fromkeys([elementwise.Sin, elementwise.Cos], 6),
    **dict.fromkeys([softmax.Softmax, softmax.LogSoftmax, norm.LayerNorm, batchnorm.BatchNorm], 8),
    **dict.fromkeys([norm.LayerNormGrad, batchnorm.BatchNormGrad], 16),
    activation.GeluTanh: 14,
    activation.GeluTanhGrad: 9,
    **dict.fromkeys([arithmetic.Cast, arithmetic.Copy, compare.Where, random.Uniform], 0),
    **dict.fromkeys([shape.Reshape, shape.Permute, shape.Expand, shape.Concat, shape.Pad], 0),
    **dict.fromkeys([shape.Contiguous, index.Slice, index.SliceGrad, index.Take, index.Gather], 0),
    **dict.fromkeys([index.Assign, Lookup, pool.MaxPool2dPick], 0),
    quantize.Quantize: 2,
    quantize.FakeQuantize: 4,
    **dict.fromkeys([quantized.LookupInt8, quantized.LookupInt4], 1),
    rotary.Rotary: 3,
}
"""FLOPs an element of the first result, by docs/conventions.md."""
OF_THE_INPUT: dict[type[Op], int] = {
    **dict.fromkeys([reduce.Sum, reduce.Mean, reduce.Max, reduce.Min, reduce.ArgMax], 1),
    **dict.fromkeys([index.TakeGrad, index.GatherGrad, pool.MaxPool2dGrad], 1),
    softmax.CrossEntropy: 8,
    quantize.QuantizeRows: 4,
    blocks.QuantizeBlocks: 5,
}
"""FLOPs an element of the first input."""
BY_FORMULA = {
    *(matmul.MatMul, matmul.Linear, matmul.LinearInputGrad, matmul.LinearWeightGrad),
    *(conv.Conv2d, conv.Conv2dInputGrad, conv.Conv2dWeightGrad),
    *(attention.Attention, attention.AttentionGrad),
    *(pool.MaxPool2d, pool.AvgPool2d, pool.AvgPool2dGrad),
    *(update.SGDUpdate, update.AdamUpdate, update.GlobalNorm, update.ScaleAll),
    *(integer.IntMatMul, integer.IntConv2d, integer.GroupMatMul),
    *(quantized.LinearInt8, quantized.LinearInt4, quantized.Conv2dInt8),
    *(sparse.LinearCSR, sparse.LinearBlocked),
    *(blocks.BlockLinear, blocks.BlockLookup),
    *(paged.CacheWrite, paged.PagedAttention),
}
"""Ops that have a test of their own in this file."""


@every
def test_flops_are_those_of_the_table(case: Case) -> None:
    arrays = case.arrays(float32)
    specs = [Spec(a.shape, a.dtype) for a in arrays]
    out = case.op.infer(*specs)
    first = out[0] if isinstance(out, tuple) else out
    if type(case.op) in EACH:
        assert case.op.flops(out, *specs) == EACH[type(case.op)] * first.size
        assert case.op.matmul_flops(out, *specs) == 0
    elif type(case.op) in OF_THE_INPUT:
        assert case.op.flops(out, *specs) == OF_THE_INPUT[type(case.op)] * specs[0].size
        assert case.op.matmul_flops(out, *specs) == 0


def test_every_op_is_in_a_table() -> None:
    tables = [set(EACH), set(OF_THE_INPUT), BY_FORMULA]
    assert set().union(*tables) == {op for op in OPS if op.__name__ not in ABSTRACT}
    assert sum(map(len, tables)) == len(set().union(*tables)), "an op stands in two tables"


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 3), st.sampled_from([(4, True), (8, False)]))
@settings(max_examples=20, deadline=None)
def test_products_with_weights_in_blocks(rows: int, outputs: int, count: int, form: tuple[int, bool]) -> None:
    k, w = 32 * count, Spec(blocks.Format(*form).shape(outputs, 32 * count), int8)
    op, beside = blocks.BlockLinear(outputs, *form), spec(rows, count)
    cost = cost_of(event(op, Spec((rows, k), int8), beside, beside, w))
    products = 2 * multiplications(lambda: numbers(rows, k) @ numbers(outputs, k).T)
    scaling = 3 + 2 * form[1]  # both scales and the sum, and with a minimum a product and a sum more
    assert (cost.matmul_flops, cost.flops) == (products, products + scaling * rows * outputs * count)
    looked = cost_of(event(blocks.BlockLookup(outputs, *form), w, Spec((rows,), int64)))
    assert (looked.matmul_flops, looked.flops) == (0, (1 + form[1]) * rows * k)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_attention_to_pages_counts_all_that_the_table_may_hold(
    batch: int, queries: int, group: int, pages: int
) -> None:
    heads, d, page = 2, 8, 4
    keys, values = spec(heads, 16, d, page), spec(heads, 16, page, d)
    table, one = Spec((batch, pages), int64), Spec((batch,), int64)
    q = spec(batch, heads * group, queries, d)
    cost = cost_of(event(paged.PagedAttention(), q, keys, values, table, one, one))
    scores = batch * heads * group * queries * pages * page
    assert (cost.matmul_flops, cost.flops) == (4 * scores * d, 4 * scores * d + 9 * scores)
    rows = spec(batch, heads, queries, d)
    assert cost_of(event(paged.CacheWrite(), keys, values, rows, rows, table, one, one)).flops == 0


@given(st.lists(sizes, min_size=1, max_size=3), st.integers(1, 4), sizes, st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_products_of_codes_and_what_scales_add(
    rows: list[int], inputs: int, outputs: int, groups: int
) -> None:
    def codes(*shape: int) -> Spec:
        return Spec(shape, int8)

    count = int(np.prod(rows))
    x, w, scale, row = codes(*rows, inputs), codes(outputs, inputs), spec(outputs), spec(*rows, 1)
    flat, weight = numbers(count, inputs), numbers(outputs, inputs)
    products = 2 * multiplications(lambda: flat @ weight.T)
    for op, operands, more in (
        (integer.IntMatMul(), (x, w), 0),
        (quantized.LinearInt8(), (x, row, w, scale), 2 * count * outputs),
    ):
        cost = cost_of(event(op, *operands))
        assert (cost.matmul_flops, cost.flops) == (products, products + more)
    wide, scales = codes(*rows, 2 * inputs * groups), spec(outputs, groups)
    for op, operands, each in (
        (integer.GroupMatMul(), (wide, codes(outputs, inputs * groups), scales), 2 * groups),
        (quantized.LinearInt4(), (wide, row, codes(outputs, inputs * groups), scales), 2 * groups + 1),
    ):
        cost = cost_of(event(op, *operands))
        more = 2 * groups * products
        assert (cost.matmul_flops, cost.flops) == (more, more + each * count * outputs)


@pytest.mark.parametrize(("op", "x", "w"), CONVOLUTIONS)
def test_convolutions_of_codes(op: conv.Conv2d, x: tuple[int, ...], w: tuple[int, ...]) -> None:
    geometry = (op.stride, op.padding, op.dilation, op.groups)
    images, filters, out = Spec(x, int8), Spec(w, int8), op.infer(spec(*x), spec(*w))
    products = op.matmul_flops(out, spec(*x), spec(*w))
    assert cost_of(event(integer.IntConv2d(*geometry), images, filters)).flops == products
    cost = cost_of(event(quantized.Conv2dInt8(*geometry), images, spec(x[0], 1, 1, 1), filters, spec(w[0])))
    assert (cost.matmul_flops, cost.flops) == (products, products + 2 * out.size)


@pytest.mark.parametrize("rows", [[], [3], [2, 5]])
def test_sparse_products_count_what_is_stored(rows: list[int]) -> None:
    ids, count = Spec((7,), int32), int(np.prod(rows))
    for op, values, starts, n in (
        (sparse.LinearCSR(), spec(7), Spec((10,), int32), 9),
        (sparse.LinearBlocked(9), spec(7, 8), Spec((3,), int32), 9),
    ):
        x, products = spec(*rows, 6), 2 * values.size * count
        plain, biased = (cost_of(event(op, x, values, ids, starts, *more)) for more in ([], [spec(n)]))
        assert (plain.matmul_flops, plain.flops) == (products, products)
        assert (biased.matmul_flops, biased.flops) == (products, products + n * count)
        assert plain.bytes == x.nbytes + values.nbytes + 4 * (7 + starts.size) + 4 * n * count


def test_pooling_takes_a_flop_for_each_element_of_a_window() -> None:
    x = spec(2, 3, 7, 7)
    for op in (pool.MaxPool2d((3, 3), (2, 2)), pool.AvgPool2d((3, 3), (2, 2))):
        assert cost_of(event(op, x)).flops == 2 * 3 * 3 * 3 * 9
    back = pool.AvgPool2dGrad((3, 3), (2, 2), (0, 0), (7, 7))
    assert cost_of(event(back, spec(2, 3, 3, 3))).flops == 2 * 3 * 3 * 3 * 9


def test_optimizers_by_the_terms_of_their_formulas() -> None:
    p, rate, step = [spec(3, 4), spec(5)], spec(), Spec((), int64)
    elements = 17
    for each, op, columns in (
        (2, update.SGDUpdate(2), 2),  # p - lr * g
        (4, update.SGDUpdate(2, weight_decay=0.1), 2),
        (4, update.SGDUpdate(2, 0.9), 3),  # b * momentum + g before
        (8, update.SGDUpdate(2, 0.9, True, 0.1), 3),
    ):
        assert cost_of(event(op, rate, *p * columns)).flops == each * elements
    for each, decay in ((12, 0.0), (14, 0.1)):
        # m: 3, v: 4, root, eps, quotient, rate, difference
        assert cost_of(event(update.AdamUpdate(2, weight_decay=decay), rate, *p * 4, step, step)).flops == (
            each * elements
        )
    assert cost_of(event(update.GlobalNorm(), *p)).flops == 2 * elements
    assert cost_of(event(update.ScaleAll(2), rate, *p)).flops == elements
