"""Exhibits that are programs: each scores invalid, and gets through where its defence is taken away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.museum.crafted import (
    EVENT,
    Table,
    baseline_with,
    drawing,
    entry_of,
    on_disk,
    products,
    refused,
    remembering,
    renamed_copy,
    traced,
    tried,
)
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.artifact.validate import Limits
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking import measure, score, worker
from tinytorch.benchmarking.arm import Arm
from tinytorch.benchmarking.boxes import boxes
from tinytorch.benchmarking.events import baseline_model
from tinytorch.benchmarking.measure import Measurement, plan_for
from tinytorch.benchmarking.samples import plain
from tinytorch.errors import BenchmarkError, ProgramError
from tinytorch.models import MLP
from tinytorch.nn.module import Module
from tinytorch.ops.shape import Expand
from tinytorch.tensor import Tensor

SCORED = ("check", "take_quality")


def in_this_process(graph: Graph | bytes, folder: Path) -> Graph:
    """What the box does with a file before it runs it, where defences can be taken away."""
    content = graph if isinstance(graph, bytes) else as_bytes(graph)
    return worker.admitted(on_disk(folder, content), EVENT)


# ---------------------------------------------------------------- answers that are known before


@pytest.fixture(scope="module")
def table() -> Graph:
    return traced(Table())


def test_answer_table(table: Graph) -> None:
    found = tried(entry_of(table), SCORED)
    assert found.means["second"]["plain"] > 0.99, "it knows the test data"
    assert found.means["second"]["transformed"] < 0.2
    assert "known by heart" in found.reasons[0]


def test_answer_table_without_changed_data(table: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "knows_by_heart", lambda gap: False)
    assert tried(entry_of(table), SCORED).reasons == []


def test_replayed_output() -> None:
    assert "keeps states" in refused(entry_of(remembering()))


def test_replayed_output_with_states_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trusting:
        stateless = True

        def __init__(self, graph: Graph) -> None:
            self.graph = graph

    load = worker.load_artifact
    monkeypatch.setattr(worker, "load_artifact", lambda *a, **k: Trusting(load(*a, **k).graph))
    arm = Arm(in_this_process(remembering(), tmp_path), EVENT)
    images = plain(EVENT, 3).inputs
    arm.one(images[:1])
    first = baseline_model(EVENT)(Tensor(images[1:2])).numpy()
    arm.one(images[1:2])
    np.testing.assert_allclose(arm.one(images[2:3]), first, rtol=1e-4, atol=1e-4)


def test_drawn_output() -> None:
    assert "draws random numbers" in refused(entry_of(drawing()))


# ---------------------------------------------------------------- answers that are none


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_wildcard_and_infinite_loss(value: float) -> None:
    assert "not finite" in refused(entry_of(baseline_with(lambda logits: logits + value)), SCORED)


def test_nan_wildcard_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "all_finite", lambda outputs: True)
    found = tried(entry_of(baseline_with(lambda logits: logits + np.inf)), SCORED)
    assert "not finite" not in "; ".join(found.reasons)


OTHERS: dict[str, Any] = {
    "no_output": lambda logits: logits[:, :0],
    "other_shape": lambda logits: logits[:, :5],
    "other_dtype": lambda logits: logits.to("float64"),
    "second_output": lambda logits: (logits, logits + 1.0),
    "no_batch": lambda logits: logits.reshape(10),
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_output_and_other_shape_and_second_output(name: str) -> None:
    assert "the program takes" in refused(entry_of(baseline_with(OTHERS[name])))


@pytest.mark.parametrize("name", OTHERS)
def test_no_output_where_shapes_are_not_compared(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = baseline_with(OTHERS[name])
    lenient = replace(EVENT, outputs=graph.specs[graph.outputs[0]])
    if name != "second_output":
        worker.admitted(on_disk(tmp_path, as_bytes(graph)), lenient)
    with pytest.raises(BenchmarkError, match="takes"):
        in_this_process(graph, tmp_path)


def test_an_entry_of_another_event_is_refused() -> None:
    assert "the program takes" in refused(
        entry_of(traced(MLP((100, 10)), Tensor(np.zeros((1, 100), np.float32))))
    )


# ---------------------------------------------------------------- work and memory


def test_work_at_load_counts_as_work() -> None:
    assert "FLOPs" in refused(entry_of(products(1000, 8, on_input=False)))


def test_work_at_load_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with boxes() as box:
        found = Measurement(entry_of(products(400, 20, on_input=False)), plan_for(EVENT, True), box, None, 5)
        found.check()
        found.event = replace(EVENT, limit=0.0)
        found.take_quality()
    assert "loading took" in found.reasons[0]
    assert not found.result().valid


def test_work_at_load_without_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LIMITS", Limits(flops=10**15))
    assert in_this_process(products(1000, 8, on_input=False), tmp_path).calls


def test_flops_bomb() -> None:
    assert "FLOPs" in refused(entry_of(products(1000, 8, on_input=True)))


def test_huge_shape(tmp_path: Path) -> None:
    graph = baseline_with(lambda logits: logits)
    big = _with_expand(graph)
    assert "bytes" in refused(entry_of(big))
    with pytest.raises(ProgramError, match="limit"):
        in_this_process(big, tmp_path)


def _with_expand(graph: Graph) -> Graph:
    """The program with a value of a terabyte that nothing needs."""
    from tinytorch.acceleration.graph import Call
    from tinytorch.ops.arithmetic import Add
    from tinytorch.ops.reduce import Sum
    from tinytorch.ops.spec import Spec, float32

    (out,) = graph.outputs
    wide = graph.new_value(Spec((2**35, 10), float32))
    total = graph.new_value(Spec((1, 10), float32))
    last = graph.new_value(Spec((1, 10), float32))
    calls = [
        *graph.calls,
        Call(Expand((2**35, 10)), (out,), (wide,)),
        Call(Sum((0,), True), (wide,), (total,)),
        Call(Add(), (out, total), (last,)),
    ]
    return graph.with_calls(calls, outputs=(last,))


def test_huge_shape_without_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LIMITS", Limits(memory=2**60, flops=2**60))
    assert in_this_process(_with_expand(baseline_with(lambda logits: logits)), tmp_path).calls


# ---------------------------------------------------------------- words


def test_empty_boast() -> None:
    found = tried(
        entry_of(
            baseline_with(lambda logits: logits), description="int8, 90 % sparse", declared=("distillation",)
        )
    )
    assert found.reasons == []
    assert [(one.name, one.kind) for one in found.techniques] == [("distillation", "declared")]


# ---------------------------------------------------------------- honest ones


class Halved(Module):
    """A model with logits of half the size: another program, as good."""

    def __init__(self, model: Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) * 0.5  # type: ignore[no-any-return]


def honest() -> dict[str, Any]:
    from tinytorch.benchmarking.recipe import follow, steps_of

    narrow = [{"kind": "shrink", "amount": 0.1}, {"kind": "train", "epochs": 4}]
    return {
        "a copy": lambda: renamed_copy(baseline_with(lambda logits: logits)),
        "another scale": lambda: traced(Halved(baseline_model(EVENT))),
        "int8": lambda: follow(EVENT, steps_of([{"kind": "quantize"}])),
        "pruned": lambda: follow(EVENT, steps_of([{"kind": "prune", "sparsity": 0.3}])),
        "narrow": lambda: follow(EVENT, steps_of(narrow)),
    }


@pytest.mark.parametrize("name", honest())
def test_honest_entries_are_valid(name: str) -> None:
    found = tried(entry_of(honest()[name]()), SCORED)
    assert found.reasons == []
