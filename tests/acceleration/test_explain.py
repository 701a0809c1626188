"""What is said about a compiled function: figures by hand and by simulation, reasons, and the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from tests.acceleration.program_cases import Case, Rows, cases
from tinytorch import Tensor
from tinytorch.acceleration.explain import Explanation, explain, memory
from tinytorch.acceleration.fused import flops_of, parts
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.layout import Layout
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.passes.pipeline import PASSES
from tinytorch.acceleration.trace import trace
from tinytorch.ops.context import rules
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Layout as ViewOp
from tinytorch.profiling import FLOPCounter

CASES = {case.name: case for case in cases()}
SINGLE = {
    "attention",
    "attentiongrad",
    "crossentropy",
    "layernorm",
    "layernormgrad",
    "logsoftmax",
    "quantizerows",
    "softmax",
}
"""Ops that are one kernel with a reason of their own."""


@dataclass
class Planned:
    """A plan alone."""

    layout: Layout


def explained(name: str) -> Explanation:
    case = CASES[name]
    return explain(case.graph, case, name=name)


# ---------------------------------------------------------------- figures by hand


def test_the_figures_of_an_mlp() -> None:
    """Layers 12-20-5 on 7 rows: work, traffic together and apart, memory."""
    found = explained("mlp")
    first, second = found.kernels
    assert (first.ops, first.paths) == (("matmul", "add", "relu"), ("layers.0", "layers.1"))
    assert (second.ops, second.paths) == (("matmul", "add"), ("layers.2",))
    assert first.flops == 2 * 7 * 12 * 20 + 7 * 20 + 7 * 20
    assert second.flops == 2 * 7 * 20 * 5 + 7 * 5
    panels = CASES["mlp"].lowered.steps[0].reads[1].size
    assert panels >= 12 * 20
    assert first.bytes == 4 * (7 * 12 + panels + 20 + 7 * 20)
    product, addition, relu = 7 * 12 + 12 * 20 + 7 * 20, 7 * 20 + 20 + 7 * 20, 2 * 7 * 20
    assert first.bytes_apart == 4 * (product + addition + relu)
    done = "done on its sums in registers, before they are stored"
    assert first.why == f"add and relu follow the product element by element: {done}"
    assert found.calls_before == 3
    assert found.memory_before == 4 * (7 * 20 + 7 * 20)
    assert found.memory_at_once == found.memory_before, "relu needs what it reads and what it makes"
    assert found.memory_after == CASES["mlp"].layout.arena_bytes
    assert not found.fallbacks


def test_a_chain_keeps_nothing_in_between() -> None:
    graph = trace(lambda x: (x * 2.0 + 1.0).relu().exp(), [Rows()(10, 10)]).graph
    found = explain(graph, Planned(Layout(lower(optimise(graph)))))
    (kernel,) = found.kernels
    assert kernel.ops == ("mul", "add", "relu", "exp")
    assert (
        kernel.why
        == "all go element by element: each element is read once, and 3 in between are never stored"
    )
    assert kernel.bytes == 4 * (2 * 100 + 2)
    assert kernel.bytes_apart == 4 * (8 * 100 + 2)
    assert (found.memory_before, found.memory_at_once, found.memory_after) == (1200, 800, 0)


def test_folded_batch_norm_is_named() -> None:
    found = explained("batch norm, evaluation")
    assert {"sqrt", "mul", "sub"} <= set(found.prepared)
    assert all("sqrt" not in kernel.ops for kernel in found.kernels)
    prepare = next(one for one in found.passes if one.name == "prepare")
    assert prepare.calls_after < prepare.calls_before
    assert not prepare.gone, "what is computed ahead of a run is not gone"


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt"])
def test_work_is_that_of_the_model(name: str) -> None:
    case = CASES[name]
    total = sum(kernel.flops or 0 for kernel in explained(name).kernels)
    assert total == int(FLOPCounter(convention="all").count(case.modules[0], inputs=case.args[0]))


# ---------------------------------------------------------------- figures by simulation


def simulated(graph: Graph) -> tuple[int, int]:
    """All memory between inputs and results, and the most at once, by counting who still reads each value."""
    base: dict[int, int] = {}
    views = [call for call in graph.calls if isinstance(call.op, ViewOp | Slice)]
    for call in views:
        base[call.outputs[0]] = base.get(call.inputs[0], call.inputs[0])
    results = {base.get(v, v) for v in graph.results()}
    waiting = Counter(base.get(v, v) for call in graph.calls for v in set(call.inputs))
    alive: dict[int, int] = {}
    total = most = 0
    for call in graph.calls:
        made = set() if call in views else {*call.outputs} - {*call.writes} - results
        alive.update({v: graph.specs[v].nbytes for v in made})
        total += sum(alive[v] for v in made)
        most = max(most, sum(alive.values()))
        waiting.subtract(base.get(v, v) for v in set(call.inputs))
        alive = {v: size for v, size in alive.items() if waiting[v] > 0}
    return total, most


@pytest.mark.parametrize("name", CASES)
def test_memory_before_is_that_of_a_simulation(name: str) -> None:
    graph = CASES[name].graph
    assert memory(graph) == simulated(graph)


@pytest.mark.parametrize("name", CASES)
def test_every_call_counts_once(name: str) -> None:
    case, found = CASES[name], explained(name)
    graph = case.lowered.graph
    ones = [one for call in graph.calls for one in parts(call)]
    left = {id(one) for step in case.lowered.steps if isinstance(step, Fallback) for one in parts(step.call)}
    specs = dict(graph.specs)
    for call in graph.calls:
        specs.update(getattr(call.op, "specs", {}))
    work = [flops_of(one, specs) for one in ones if id(one) not in left]
    assert sum(kernel.flops or 0 for kernel in found.kernels) == sum(flops or 0 for flops in work)
    assert len(found.kernels) == sum(isinstance(step, Kernel) for step in case.lowered.steps)
    assert len(found.fallbacks) == len(left)
    assert (found.in_place, found.lent) == (len(case.layout.alias), len(case.layout.lent))
    assert all(kernel.bytes > 0 for kernel in found.kernels)


@pytest.mark.parametrize("name", CASES)
def test_every_fusion_has_a_reason(name: str) -> None:
    for kernel in explained(name).kernels:
        ops = set(kernel.ops) - {"reshape", "permute", "slice", "expand", "contiguous"}
        several = len(kernel.ops) > 1 or bool(ops & SINGLE)
        assert bool(kernel.why) == (several and not kernel.name.startswith("check")), kernel


@pytest.mark.parametrize("name", CASES)
def test_passes_follow_each_other(name: str) -> None:
    found = explained(name).passes
    assert [one.name for one in found] == [one.__name__ for one in PASSES]
    assert found[0].calls_before == len(CASES[name].graph.calls)
    for one, after in pairwise(found):
        assert one.calls_after == after.calls_before
    assert found[-1].calls_after == len(CASES[name].lowered.graph.calls)


def test_dead_and_equal_calls_are_named() -> None:
    def function(x: Tensor) -> Tensor:
        x.exp()
        return x.tanh() * x.tanh()

    graph = trace(function, [Rows()(3, 4)]).graph
    passes = {one.name: one for one in explain(graph, Planned(Layout(lower(optimise(graph))))).passes}
    assert passes["remove_dead"].gone in ({"exp": 1}, {})
    found = explain(graph, None)
    first = found.passes[0]
    assert (first.name, first.gone, first.new) == ("remove_dead", {"exp": 1}, {})
    merged = next(one for one in found.passes if one.name == "merge_equal")
    assert merged.gone == {"tanh": 1}


# ---------------------------------------------------------------- what is left to NumPy


def test_ops_without_a_kernel_say_so() -> None:
    found = explained("numpy")
    assert [(f.op, f.why) for f in found.fallbacks] == [
        ("sin", "there is no kernel for it"),
        ("softmax", "its kernel does not take softmax[axis=0] of float32"),
    ]


def test_a_dtype_is_named() -> None:
    half = Tensor(np.ones((3, 4), np.float16))
    graph = trace(lambda x: x.relu() @ x.T, [half]).graph
    found = explain(graph, Planned(Layout(lower(optimise(graph)))))
    assert [f.why for f in found.fallbacks] == ["its kernel takes no float16"] * 2


def test_no_elements_are_named() -> None:
    assert {f.why for f in explained("no elements").fallbacks} == {"it has no elements"}


def test_a_learners_rule_is_named() -> None:
    before = set(rules)
    rules.add("Tanh")
    try:
        graph = trace(lambda x: x.tanh() * 2.0, [Rows()(3, 4)]).graph
        found = explain(graph, Planned(Layout(lower(optimise(graph)))))
    finally:
        rules.clear()
        rules.update(before)
    assert [(f.op, f.why) for f in found.fallbacks] == [("tanh", "a rule that a learner wrote is in force")]


def test_without_llvm_all_is_numpys() -> None:
    case = CASES["mlp"]
    found = explain(case.graph, None, name="mlp")
    assert not found.kernels
    assert {f.why for f in found.fallbacks} == {"llvmlite cannot be imported"}
    assert len(found.fallbacks) == 2
    assert "NumPy" in repr(found)


# ---------------------------------------------------------------- the report


@pytest.mark.parametrize("name", CASES)
def test_the_report_fits_and_says_all(name: str) -> None:
    found = explained(name)
    text = repr(found)
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith(f"{name}: ")
    for kernel in found.kernels:
        assert f"\n{kernel.name}" in text
    for why in {kernel.why for kernel in found.kernels} - {""}:
        assert why in " ".join(text.split())
    for fallback in found.fallbacks:
        assert fallback.why in " ".join(text.split())
    assert "Memory" in text


def test_the_report_of_an_mlp() -> None:
    lines = repr(explained("mlp")).splitlines()
    assert lines[0].startswith("mlp: 3 ops became 2 kernels, which move ")
    assert lines[2].split() == ["kernel", "times", "work", "moves", "ops", "apart"]
    assert lines[4].split()[:6] == ["matmul", "add", "relu", "1", "3.64", "kFLOP"]
    assert "Why calls became one kernel" in lines
    assert (
        "- layers.0, layers.1: add and relu follow the product element by element: done on its sums in"
        in lines
    )


def test_many_modules_are_counted_rather_than_listed() -> None:
    text = " ".join(repr(explained("gpt adamw")).split())
    assert "blocks.0.attn.q_proj; blocks.0.attn.k_proj; blocks.0.attn.v_proj: add follows" in text
    assert "backward of blocks.0.attn.v_proj" in text


def test_backward_and_reasons_come_last() -> None:
    back = replace(explained("softmax"), name="its backward pass")
    found = replace(explained("mlp"), backward=back, reasons=("an argument is not hashable",))
    text = repr(found)
    assert "Calls that run eagerly\n- an argument is not hashable" in text
    assert text.endswith(repr(back))


def test_what_has_no_program_says_so() -> None:
    text = repr(Explanation("step", reasons=("it adds to gradients of before",)))
    assert (
        text == "step: no program has been made.\n\nCalls that run eagerly\n- it adds to gradients of before"
    )


def test_counts_of_tables_are_of_what_is_picked() -> None:
    table = Rows()(1000, 4)
    case = Case("pick", lambda i: table[i], [Tensor(np.array([3, 5]))])
    (check, pick) = explain(case.graph, case).kernels
    assert check.bytes == 16
    assert pick.bytes == 16 + 2 * 2 * 4 * 4
