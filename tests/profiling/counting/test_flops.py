"""The counter on models and callables: trees, tables, gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import nn
from tinytorch.errors import DTypeError, ProfilingError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.ops.base import Op
from tinytorch.ops.context import OpEvent, observe, state
from tinytorch.ops.spec import Spec
from tinytorch.profiling.counting.flops import FLOPCounter, FLOPs
from tinytorch.profiling.counting.text import text
from tinytorch.tensor import Tensor


def small_gpt() -> GPT:
    return GPT(vocab_size=11, context=8, width=8, layers=2, heads=2)


class Strange(Op):
    """An op that says nothing of its cost."""

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return a.copy()


# ---------------------------------------------------------------- what is counted


def test_the_readme_example() -> None:
    flops = FLOPCounter().count(MLP((784, 128, 10)), input_shape=(32, 784))
    assert isinstance(flops, FLOPs)
    assert flops == flops.flops == 2 * 32 * (784 * 128 + 128 * 10) == 2 * flops.macs
    weights = 784 * 128 + 128 + 128 * 10 + 10
    values = 32 * (784 + 128 + 2 * 128 + 128 + 10)  # each layer's input and output, relu's too
    assert flops.bytes == 4 * (weights + values)
    assert flops.intensity == flops / flops.bytes
    assert sum(flops.parts.values()) == flops
    assert (flops.name, flops.convention, flops.backward_flops, flops.notes) == ("MLP", "matmul", 0, ())


def test_the_tree_adds_up() -> None:
    model = small_gpt()
    flops = FLOPCounter("all").count(model, backward=True)
    rows = {row.path: row for row in flops.by_module}
    assert [row.path for row in flops.by_module][:4] == ["", "wte", "blocks", "blocks.0"]
    for what in ("flops", "matmul_flops", "bytes"):
        assert sum(getattr(row, f"self_{what}") for row in rows.values()) == getattr(rows[""], what)
        assert getattr(rows[""], what) == getattr(flops, what)
        for path, row in rows.items():
            below = [
                r for p, r in rows.items() if p.startswith(f"{path}.") and p.count(".") == path.count(".") + 1
            ]
            if path:
                children = sum(getattr(child, what) for child in below)
                assert getattr(row, what) == getattr(row, f"self_{what}") + children
    assert rows["blocks.1.attn.q_proj"].kind == "Linear"
    assert rows["blocks.1.attn.q_proj"].depth == 4
    assert rows["blocks.0"].flops == rows["blocks.1"].flops
    assert rows[""].parameters == model.num_parameters()
    assert rows["wte"].parameters == 11 * 8
    assert rows["head"].parameters == 0  # shared, and counted where it is first
    assert sum(row.calls for row in rows.values()) == sum(row.calls for row in flops.by_op)
    assert (
        rows["blocks.0.mlp.fc1"].intensity == rows["blocks.0.mlp.fc1"].flops / rows["blocks.0.mlp.fc1"].bytes
    )


def test_the_table_adds_up() -> None:
    flops = FLOPCounter("all").count(small_gpt())
    assert sum(row.flops for row in flops.by_op) == flops == sum(flops.parts.values())
    assert sum(row.bytes for row in flops.by_op) == flops.bytes
    work = [row.flops for row in flops.by_op]
    assert work == sorted(work, reverse=True)
    linear = next(row for row in flops.by_op if row.name == "linear")
    assert (linear.calls, linear.counted) == (12, True)
    assert linear.intensity == linear.flops / linear.bytes
    assert next(row for row in flops.by_op if row.name == "reshape").intensity is None


class Names:
    """An observer that notes which ops run."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_op(self, event: OpEvent) -> None:
        self.found.append(event.op.name)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        pass


@pytest.mark.parametrize("make", [lambda: MLP((4, 8, 3)), CNN, small_gpt])
def test_the_ops_counted_without_data_are_those_of_a_real_pass(make: Callable[[], nn.Module]) -> None:
    model, watch = make(), Names()
    flops = FLOPCounter("all").count(model)
    with observe(watch):
        model(model.example_input)
    assert {row.name: row.calls for row in flops.by_op} == Counter(watch.found)


def test_a_callable_of_several_inputs_by_position_and_by_name() -> None:
    def both(a: Tensor, b: Tensor, twice: bool = False) -> Tensor:
        return a @ b @ b if twice else a @ b

    a, b = tt.zeros(3, 4), tt.zeros(4, 4)
    counter = FLOPCounter()
    assert counter.count(both, inputs=(a, b)) == counter.count(both, inputs=[a, b]) == 2 * 3 * 4 * 4
    assert counter.count(both, inputs={"a": a, "b": b, "twice": True}) == 4 * 3 * 4 * 4
    assert counter.count(both, inputs=(a.numpy(), b.numpy())) == 2 * 3 * 4 * 4
    assert counter.count(lambda: a @ b) == 2 * 3 * 4 * 4
    assert counter.count(both, inputs=(a, b)).name == "both"
    assert counter.count(lambda x: x @ x.T, input_shape=(5, 2)) == 2 * 5 * 5 * 2
    nothing = counter.count(lambda: 3)
    assert (nothing, nothing.coverage, nothing.by_op) == (0, 1, ())


def test_a_bound_forward_is_its_model() -> None:
    model = MLP((4, 3))
    counted = FLOPCounter().count(model.forward, input_shape=(2, 4))
    assert counted == FLOPCounter().count(model, input_shape=(2, 4)) == 48
    assert [row.path for row in counted.by_module] == ["", "flatten", "layers", "layers.0"]
    assert FLOPCounter().count(model.forward) == FLOPCounter().count(model) == 24
    whole = nn.Sequential(model, nn.ReLU())
    inner = FLOPCounter().count(model, input_shape=(2, 4))  # though it is called "0" in there
    assert [row.path for row in inner.by_module] == ["", "flatten", "layers", "layers.0"]
    assert FLOPCounter().count(whole, input_shape=(2, 4)) == 48


def test_inside_of_another_module_the_model_is_the_root_all_the_same() -> None:
    found: list[FLOPs] = []

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            found.append(FLOPCounter().count(MLP((4, 3)), input_shape=(2, 4)))
            assert state().path == "inner"
            return x

    Outer()(tt.ones(1))
    assert [row.path for row in found[0].by_module] == ["", "flatten", "layers", "layers.0"]


def test_the_dtype_of_an_input_made_from_its_shape() -> None:
    assert FLOPCounter().count(small_gpt(), input_shape=(3, 8)) == 3 * FLOPCounter().count(small_gpt())
    single, double = (nn.Linear(4, 3).to(d) for d in ("float32", "float64"))
    counts = [FLOPCounter().count(m, input_shape=(2, 4)) for m in (single, double)]
    assert counts[1].bytes == 2 * counts[0].bytes
    table = nn.Embedding(10, 4)
    assert FLOPCounter().count(table, input_shape=(2, 3), dtype="int64").bytes == 8 * 6 + 2 * 4 * 24
    with pytest.raises(
        DTypeError, match=r"Embedding ran on float32 \(2, 3\), from input_shape; give the dtype"
    ):
        FLOPCounter().count(table, input_shape=(2, 3))


def test_an_op_without_a_rule_is_listed_and_in_no_sum() -> None:
    def call(x: Tensor) -> Tensor:
        return Strange()(Strange()(x)) + x

    flops = FLOPCounter("all").count(call, inputs=tt.ones(5))
    assert flops == 5
    assert flops.uncounted == {"strange": 2}
    assert flops.coverage == pytest.approx(1 / 3)
    assert {row.name: row.counted for row in flops.by_op} == {"strange": False, "add": True}
    assert "Not counted, for want of a rule (calls): strange (2)." in text(flops)
    assert "33.3 % of the ops have a rule" in text(flops)


# ---------------------------------------------------------------- backward


@given(*(st.integers(1, 4),) * 3, st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_gradients_of_a_linear_layer(rows: int, inputs: int, outputs: int, bias: bool, wanted: bool) -> None:
    layer = nn.Linear(inputs, outputs, bias)
    x = tt.zeros(rows, inputs, requires_grad=wanted)
    forward = FLOPCounter().count(layer, inputs=x)
    both = FLOPCounter().count(layer, inputs=x, backward=True)
    assert forward == 2 * rows * inputs * outputs
    assert both.backward_flops == (2 if wanted else 1) * forward
    assert both == forward + both.backward_flops
    assert x.grad is None


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_gradients_of_grouped_and_depthwise_convolutions(
    groups: int, part: int, more: int, stride: int, wanted: bool
) -> None:
    """Each gradient takes the products of the forward pass once more, and none between groups."""
    layer = nn.Conv2d(groups * part, groups * more, 3, stride, padding=1, groups=groups)
    x = tt.zeros(2, groups * part, 6, 5, requires_grad=wanted)
    rows, columns = (6 + 2 - 3) // stride + 1, (5 + 2 - 3) // stride + 1
    products = 2 * groups * more * rows * columns * part * 9
    both = FLOPCounter().count(layer, inputs=x, backward=True)
    assert both == 2 * products * (3 if wanted else 2)
    assert both.backward_flops == 2 * products * (2 if wanted else 1)


def test_gradients_in_eval_mode_and_under_no_grad_are_counted_all_the_same() -> None:
    model = small_gpt()
    trained = FLOPCounter().count(model, backward=True)
    with tt.no_grad():
        assert FLOPCounter().count(model.eval(), backward=True) == trained
    forward = FLOPCounter().count(model)
    assert trained == 3 * forward
    assert trained.parts["attentiongrad"] == 2 * trained.parts["attention"] == 2 * 2 * 4 * 8 * 8 * 8


def test_gradients_that_are_there_already_change_nothing_and_come_back() -> None:
    model, x = MLP((4, 8, 3)), tt.ones(2, 4, requires_grad=True)
    fresh = FLOPCounter("all").count(model, inputs=x, backward=True)
    model(x).sum().backward()
    before = [p.grad for p in (*model.parameters(), x)]
    assert all(g is not None for g in before)
    again = FLOPCounter("all").count(model, inputs=x, backward=True)
    assert again == fresh  # adding to a gradient is no work of the model's
    assert [p.grad for p in (*model.parameters(), x)] == before
    assert all(now is then for now, then in zip((p.grad for p in model.parameters()), before, strict=False))


def test_backward_starts_at_the_first_tensor_returned() -> None:
    w = tt.ones(4, 4, requires_grad=True)
    for shape in (
        lambda y: (y, 1),
        lambda y: [None, y],
        lambda y: {"loss": y},
        lambda y: (3, {"deep": [y]}),
    ):
        found = FLOPCounter().count(lambda x, shape=shape: shape(x @ w), inputs=tt.ones(2, 4), backward=True)
        assert found.backward_flops == 2 * 2 * 4 * 4
    with pytest.raises(ProfilingError, match="returns int; backward needs a Tensor"):
        FLOPCounter().count(lambda: 3, backward=True)
    with pytest.raises(ProfilingError, match="nothing in the result of <lambda> requires a gradient"):
        FLOPCounter().count(lambda x: x + 1, inputs=tt.ones(2), backward=True)
