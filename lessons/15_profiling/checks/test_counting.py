"""FLOPs and bytes: of a layer by formula, of an op by its own rules."""

import numpy as np
import pytest

from tinytorch.errors import ProfilingError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.base import Op
from tinytorch.ops.context import OpEvent
from tinytorch.ops.spec import Spec
from tinytorch.profiling import FLOPCounter
from tinytorch.profiling.counting.flops import cost_of
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- a layer


@exercise("Formulas.count_linear")
@pytest.mark.parametrize(("rows", "inner", "columns"), [(2, 4, 3), (1, 5, 1), (7, 1, 2), (0, 4, 3)])
def test_a_multiply_add_is_two_flops(rows, inner, columns):
    multiply_adds = 0
    for _ in np.ndindex(rows, columns):
        multiply_adds += inner
    expect.equal("int(FLOPCounter().count_linear(inner, columns, rows))", 2 * multiply_adds)
    expect.equal("FLOPCounter().count_linear(inner, columns, rows).macs", multiply_adds)


@exercise("Formulas.count_linear")
def test_a_published_figure():
    expect.equal("FLOPCounter().count_linear(9216, 4096).macs", 37_748_736)  # AlexNet's first full layer
    expect.equal("FLOPCounter().count_linear(9216, 4096).flops", 75_497_472)


@exercise("Formulas.count_linear")
def test_bias_counts_in_the_convention_all():
    parts = {"products": 2 * 5 * 4 * 3, "bias": 5 * 3}
    expect.equal("FLOPCounter('all').count_linear(4, 3, batch_size=5).parts", parts)
    expect.equal("int(FLOPCounter('all').count_linear(4, 3, batch_size=5))", 120 + 15)
    expect.equal("FLOPCounter('all').count_linear(4, 3, batch_size=5).macs", 60)
    expect.equal("FLOPCounter('all').count_linear(4, 3, 5, bias=False).parts", {"products": 120})
    expect.equal("FLOPCounter('matmul').count_linear(4, 3, 5).parts", {"products": 120})


@exercise("Formulas.count_linear")
def test_bytes_of_a_layer():
    expect.equal("FLOPCounter().count_linear(4, 3, 5).bytes", 4 * (5 * 4 + 3 * 4 + 3 + 5 * 3))
    expect.equal("FLOPCounter().count_linear(4, 3, 5, bias=False).bytes", 4 * (5 * 4 + 3 * 4 + 5 * 3))
    expect.equal("FLOPCounter(dtype='float16').count_linear(4, 3).bytes", 2 * (4 + 12 + 3 + 3))


@exercise("Formulas.count_linear")
@pytest.mark.parametrize("bad", ["(-1, 3)", "(4, 2.5)", "(4, 3, -1)", "(4, True)"])
def test_sizes_are_counts(bad):
    expect.raises(f"FLOPCounter().count_linear{bad}", ProfilingError, "count_linear")


# ---------------------------------------------------------------- an op


class Product(Op):
    """An op for these checks: n k m multiply-adds, as its own rules say from specs."""

    def flops(self, out, a, b):
        assert all(type(spec) is Spec for spec in (out, a, b)), "rules take Specs"
        return 2 * out.size * a.shape[-1] + 1

    def matmul_flops(self, out, a, b):
        return 2 * out.size * a.shape[-1]


class Pairs(Product):
    """Two outputs: a result and weights; 3 of 10 pairs are visible."""

    outputs = 2

    def flops(self, out, a):
        assert isinstance(out, tuple), "an op with several outputs gets all their specs"
        return 7 * out[1].size + a.size

    def matmul_flops(self, out, a):
        return 4 * out[1].size

    def visible(self, out, a):
        return 3, 10


class Strange(Op):
    """An op without a rule."""


def event(op, inputs, outputs):
    tensors = [tuple(Tensor(np.zeros(shape, dtype)) for shape, dtype in given) for given in (inputs, outputs)]
    return OpEvent(op, *tensors, "layer", False, 0, 1)


F4, F8 = np.float32, np.float64


@exercise("cost_of")
def test_an_op_costs_what_its_rules_say():
    seen = event(Product(), [((3, 5), F4), ((5, 2), F4)], [((3, 2), F4)])
    expect.equal("tuple(cost_of(seen))", (61, 60, 4 * (15 + 10 + 6)))
    seen = event(Product(), [((3, 5), F8), ((5, 2), F8)], [((3, 2), F8)])
    expect.equal("cost_of(seen).bytes", 8 * (15 + 10 + 6))


@exercise("cost_of")
def test_an_op_with_two_outputs():
    seen = event(Pairs(), [((4, 5), F4)], [((4, 5), F4), ((4, 4), F4)])
    expect.equal("tuple(cost_of(seen))", (7 * 16 + 20, 64, 4 * (20 + 20 + 16)))


@exercise("cost_of")
def test_an_op_without_a_rule_is_not_free():
    seen = event(Strange(), [((3,), F4)], [((3,), F4)])
    expect.equal("tuple(cost_of(seen))", (None, 0, 24))
    expect.equal("tuple(cost_of(seen, causal=True))", (None, 0, 24))


@exercise("cost_of")
def test_causal_counts_the_pairs_that_may_attend():
    seen = event(Pairs(), [((4, 5), F4)], [((4, 5), F4), ((4, 4), F4)])
    expect.equal("tuple(cost_of(seen, causal=True))", (132 * 3 // 10, 64 * 3 // 10, 224))
    seen = event(Product(), [((3, 5), F4), ((5, 2), F4)], [((3, 2), F4)])
    expect.equal("tuple(cost_of(seen, causal=True))", (61, 60, 124))


class Empty(Pairs):
    """No pair at all."""

    def visible(self, out, a):
        return 0, 0


@exercise("cost_of")
def test_no_pairs_are_no_division_by_zero():
    seen = event(Empty(), [((0, 5), F4)], [((0, 5), F4), ((0, 0), F4)])
    expect.equal("tuple(cost_of(seen, causal=True))", (0, 0, 0))


@exercise("cost_of")
def test_the_counter_adds_up_what_ran(rng):
    a, b = Tensor(rng.normal(size=(3, 5))), Tensor(rng.normal(size=(5, 2)))
    expect.equal("int(FLOPCounter().count(lambda x, y: x @ y, inputs=(a, b)))", 2 * 3 * 5 * 2)
