"""Rows picked before a product: the same numbers, and no more rows computed than are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tests.caching.small import gpt, llama
from tinytorch import Tensor, no_grad
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.interpret import interpret
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.passes.common import merge_equal
from tinytorch.acceleration.passes.dead import remove_dead
from tinytorch.acceleration.passes.pipeline import PASSES
from tinytorch.acceleration.passes.rows import take_early
from tinytorch.acceleration.trace import trace
from tinytorch.nn import Linear
from tinytorch.ops.blocks import BlockLinear, Format, QuantizeBlocks, block_linear
from tinytorch.ops.context import keep_rules, rules, without_rules
from tinytorch.ops.index import take
from tinytorch.ops.integer import GroupMatMul, int_matmul, pack_nibbles
from tinytorch.ops.quantize import quantize_rows
from tinytorch.tensor import from_numpy

PRODUCTS = ("MatMul", "BlockLinear", "IntMatMul", "GroupMatMul")
RNG = np.random.default_rng(1)


def graphs(function: Callable[..., Any], *args: Tensor) -> tuple[Graph, Graph, Graph]:
    """A function as traced, after this pass alone, and after all."""
    with no_grad():
        traced = trace(function, args)
    assert not traced.refusal
    graph = optimise(traced.graph, PASSES[: PASSES.index(take_early)])
    return traced.graph, remove_dead(take_early(graph)), optimise(traced.graph)


def checked(function: Callable[..., Any], *args: Tensor) -> tuple[Graph, Graph]:
    """The graphs after this pass and after all, both of which give what the function gives."""
    before, alone, whole = graphs(function, *args)
    inputs = [t.numpy() for t in args]
    expected = interpret(before, inputs)
    for graph in (alone, whole):
        for found, wanted in zip(interpret(graph, inputs), expected, strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, 1e-5, 1e-5)
    return alone, whole


def rows_of(graph: Graph) -> list[int]:
    """The rows of each product."""
    return [
        graph.specs[call.outputs[0]].shape[0] for call in graph.calls if type(call.op).__name__ in PRODUCTS
    ]


def normal(*shape: int) -> Tensor:
    return from_numpy(RNG.standard_normal(shape).astype(np.float32))


def ids(*numbers: int) -> Tensor:
    return from_numpy(np.array(numbers))


@pytest.fixture
def learner() -> Iterator[None]:
    """A learner's rule for products."""
    assert not rules
    keep_rules(["MatMul"])
    yield
    rules.clear()
    with without_rules():
        pass


WEIGHT = normal(6, 9)


@pytest.mark.parametrize("picked", [[4], [0, 4, 4, 2], [-1, 1]])
def test_of_a_product_only_the_picked_rows_are_computed(picked: list[int]) -> None:
    alone, whole = checked(lambda x, i: take(x @ WEIGHT, i), normal(5, 6), ids(*picked))
    assert rows_of(alone) == [len(picked)]
    assert rows_of(whole) == [len(picked)]
    assert [call.op.name for call in alone.calls].count("take") == 1


def test_products_behind_each_other_and_reshapes_between() -> None:
    deep = lambda x, i: take((x @ WEIGHT).reshape(2, 3, 9).reshape(6, 9) @ WEIGHT.mT, i)  # noqa: E731
    alone, _ = checked(deep, normal(6, 6), ids(3, 0))
    assert rows_of(alone) == [2, 2]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.data())
@settings(max_examples=15)
def test_rows_of_a_batch_are_picked_as_rows_of_all(
    batch: int, t: int, count: int, data: st.DataObject
) -> None:
    numbers = data.draw(st.lists(st.integers(0, batch * t - 1), min_size=count, max_size=count))
    layer = Linear(6, 9, bias=False)
    alone, _ = checked(lambda x, i: take(layer(x).reshape(-1, 9), i), normal(batch, t, 6), ids(*numbers))
    assert rows_of(alone) == [count]


@pytest.mark.parametrize("bias", [False, True])
def test_what_is_picked_of_a_batch_are_its_sequences(bias: bool) -> None:
    layer = Linear(6, 9, bias)
    alone, _ = checked(lambda x, i: take(layer(x), i), normal(4, 3, 6), ids(2, 0))
    assert rows_of(alone) == [12]


def test_a_reshape_that_cuts_rows_otherwise_stays_behind_the_product() -> None:
    alone, _ = checked(lambda x, i: take((x @ WEIGHT).reshape(-1, 3), i), normal(4, 6), ids(7, 0))
    assert rows_of(alone) == [4]


@pytest.mark.parametrize("shape", [(2, 4, 6), (1, 4, 6)])
def test_products_of_several_matrices_are_left_alone(shape: tuple[int, ...]) -> None:
    weights = normal(2, 6, 5)
    alone, _ = checked(lambda x, i: take((x @ weights).reshape(-1, 5), i), normal(*shape), ids(5))
    assert sum(call.op.name == "take" for call in alone.calls) == 1


def test_a_table_of_ids_is_left_alone() -> None:
    alone, _ = checked(lambda x, i: take(x @ WEIGHT, i), normal(5, 6), from_numpy(np.array([[1, 2], [0, 4]])))
    assert rows_of(alone) == [5]


# ---------------------------------------------------------------- shared


def test_what_else_reads_the_product_still_does() -> None:
    alone, _ = checked(lambda x, i: ((y := x @ WEIGHT).sum(), take(y, i)), normal(5, 6), ids(1, 3))
    assert sorted(rows_of(alone)) == [2, 5]


def test_the_product_itself_may_be_a_result() -> None:
    alone, _ = checked(lambda x, i: ((y := x @ WEIGHT), take(y, i)), normal(5, 6), ids(1))
    assert sorted(rows_of(alone)) == [1, 5]


def test_ids_given_twice_are_picked_once() -> None:
    def function(x: Tensor, i: Tensor) -> Any:
        y = x @ WEIGHT
        return take(y, i) * 2.0, take(y, i) + 1.0

    alone, _ = checked(function, normal(5, 6), ids(1, 3))
    assert rows_of(remove_dead(merge_equal(alone))) == [2]


def test_different_ids_are_picked_apart() -> None:
    def function(x: Tensor, i: Tensor, j: Tensor) -> Any:
        y = x @ WEIGHT
        return take(y, i), take(y, j)

    alone, _ = checked(function, normal(5, 6), ids(1), ids(0, 4))
    assert sorted(rows_of(alone)) == [1, 2]


def test_an_operand_that_two_products_share_is_picked_once() -> None:
    other = normal(6, 4)

    def function(x: Tensor, i: Tensor) -> Any:
        h = x.relu()
        return take(h @ WEIGHT, i), take(h @ other, i)

    alone, _ = checked(function, normal(5, 6), ids(2, 2))
    assert rows_of(alone) == [2, 2]
    assert [call.op.name for call in alone.calls].count("take") == 1


def test_weights_that_change_between_a_product_and_what_is_picked_of_it() -> None:
    weight = Tensor(np.ones((6, 4), np.float32))

    def function(x: Tensor, i: Tensor) -> Any:
        y = x @ weight
        weight.assign_(weight * 3.0)
        return take(y, i)

    compiled, x = tt.compile(function), normal(5, 6)
    with no_grad():
        for n in range(4):
            found = compiled(x, ids(2, 0)).numpy()
            np.testing.assert_allclose(found, (x.numpy() @ np.full((6, 4), 3.0**n))[[2, 0]], rtol=1e-5)


# ---------------------------------------------------------------- codes


def _codes(*shape: int) -> Tensor:
    return from_numpy(RNG.integers(-128, 128, shape).astype(np.int8))


def test_codes_by_row_and_their_products() -> None:
    weights = _codes(7, 32)

    def function(x: Tensor, i: Tensor) -> Any:
        codes, scale = quantize_rows(x)
        return take(int_matmul(codes, weights), i), take(scale, i) if scale.ndim == 2 else scale

    alone, _ = checked(function, normal(5, 32), ids(4, 1))
    assert rows_of(alone) == [2]
    made = [c for c in alone.calls if type(c.op).__name__ == "QuantizeRows"]
    assert min(alone.specs[c.outputs[0]].shape[0] for c in made) == 2


def test_codes_of_four_bits() -> None:
    nibbles, scale = pack_nibbles(RNG.integers(-8, 8, (9, 32)).astype(np.int8)), normal(9, 2)
    weights, op = from_numpy(nibbles), GroupMatMul()
    alone, _ = checked(lambda x, i: take(op(x, weights, scale), i), _codes(5, 32), ids(3))
    assert rows_of(alone) == [1]


@pytest.mark.parametrize("shape", [(6, 64), (2, 3, 64)])
def test_weights_in_blocks(shape: tuple[int, ...]) -> None:
    op = BlockLinear(35)
    form = Format(4, minimum=True)
    packed = form.pack(
        form.join(RNG.integers(0, 16, (35, 64), np.uint8)), *RNG.normal(size=(2, 35, 2)).astype(np.float16)
    )
    w = from_numpy(packed)
    alone, whole = checked(
        lambda x, i: take(block_linear(x, op, w).reshape(-1, 35), i), normal(*shape), ids(4, 1)
    )
    assert rows_of(alone) == [2]
    if len(shape) == 2:
        quantized = [c for c in whole.calls if isinstance(c.op, QuantizeBlocks)]
        assert [whole.specs[c.outputs[0]].shape[0] for c in quantized] == [2]
    # the pass by itself, on a product whose rows lie in a batch
    with no_grad():
        graph = trace(
            lambda x, i: take(block_linear(x, op, w).reshape(-1, 35), i), [normal(*shape), ids(4, 1)]
        ).graph
    inputs = [normal(*shape).numpy(), np.array([4, 1])]
    np.testing.assert_allclose(
        interpret(take_early(graph), inputs)[0], interpret(graph, inputs)[0], 1e-6, 1e-5
    )


# ---------------------------------------------------------------- models, and learners


@pytest.mark.parametrize("make", [gpt, llama])
def test_logits_of_a_row_cost_a_row_of_the_head(make: Any) -> None:
    model = make(layers=1)
    text = from_numpy(RNG.integers(0, 40, (2, 9)))
    alone, whole = checked(lambda x, i: take(model(x).reshape(-1, 40), i), text, ids(8, 17))
    products = [alone.specs[c.outputs[0]].shape for c in alone.calls if type(c.op).__name__ in PRODUCTS]
    assert [shape for shape in products if shape[1] == 40] == [(2, 40)]
    assert [whole.specs[v].shape for v in whole.outputs] == [(2, 40)]
    assert rows_of(alone).count(18) > 3, "other products have all rows"


def test_a_learners_rule_is_left_where_it_is(learner: None) -> None:
    with no_grad():
        graph = trace(lambda x, i: take(x @ WEIGHT, i), [normal(5, 6), ids(1)]).graph
    assert rows_of(remove_dead(take_early(graph))) == [5]
    with without_rules():
        assert rows_of(remove_dead(take_early(graph))) == [1]


def test_machine_code_gives_the_same() -> None:
    layer = Linear(16, 33, bias=False)
    function = tt.compile(lambda x, i: take(layer(x).reshape(-1, 33), i))
    x, i = normal(2, 5, 16), ids(9, 3, 3)
    with no_grad():
        for _ in range(2):
            np.testing.assert_allclose(
                function(x, i).numpy(), layer(x).numpy().reshape(-1, 33)[[9, 3, 3]], 1e-5, 1e-5
            )
