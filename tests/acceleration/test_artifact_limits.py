"""Graphs that cannot be saved, and program files of other versions or above the limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceleration.artifact_files import (
    ROW,
    forward_graph,
    load,
    mlp_step,
    put_together,
    relu_graph,
    single,
    small_mlp,
    taken_apart,
)
from tinytorch import Tensor, meta
from tinytorch.acceleration.artifact import Limits, is_stateless, load_graph, save_graph
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.errors import ProgramError
from tinytorch.ops.base import Op
from tinytorch.ops.elementwise import Relu
from tinytorch.ops.spec import Spec, float32, float64, int64

# ---------------------------------------------------------------- what cannot be saved


class ThirdParty(Relu):
    """An op that is not TinyTorch's, however alike."""


class Odd(Op):
    def infer(self, a: Spec) -> Spec:
        return a


@pytest.mark.parametrize("op", [ThirdParty(), Odd()])
def test_ops_of_others_are_refused_by_name(op: Op, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=type(op).__name__):
        save_graph(relu_graph(calls=[Call(op, (0,), (1,))]), tmp_path / "x")


def test_fields_that_an_op_does_not_declare_are_refused() -> None:
    op = Relu()
    op.slope = 0.1
    with pytest.raises(ProgramError, match="slope"):
        as_bytes(relu_graph(calls=[Call(op, (0,), (1,))]))


RELU = Call(Relu(), (0,), (1,))
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "reads before it is made": ({"calls": [Call(Relu(), (1,), (1,))]}, r"^call 0 \(relu\) reads v1 before"),
    "a cycle": (
        {
            "specs": dict.fromkeys(range(3), ROW),
            "calls": [Call(Relu(), (2,), (1,)), Call(Relu(), (1,), (2,))],
        },
        "before it is made",
    ),
    "made twice": ({"calls": [RELU, RELU]}, "a second time"),
    "gives back its input": ({"calls": [Call(Relu(), (0,), (0,))], "outputs": (0,)}, "a second time"),
    "no spec": ({"specs": {0: ROW}}, "no shape and dtype"),
    "output of nothing": ({"outputs": (7,), "specs": {0: ROW, 1: ROW, 7: ROW}}, "nothing makes"),
    "another shape": ({"specs": {0: ROW, 1: Spec((5,), float32)}}, "is declared"),
    "another dtype": ({"specs": {0: ROW, 1: Spec((4,), float64)}}, "is declared"),
    "too many outputs": (
        {"specs": dict.fromkeys(range(3), ROW), "calls": [Call(Relu(), (0,), (1, 2))]},
        "2 outputs",
    ),
    "too many inputs": ({"calls": [Call(Relu(), (0, 0), (1,))]}, "refuses its inputs"),
    "an update of what is no state": ({"updates": {0: 1}}, "no state"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_graphs_that_are_none_are_refused(case: str) -> None:
    changes, text = BROKEN[case]
    with pytest.raises(ProgramError, match=text):
        as_bytes(relu_graph(**changes))


def test_tensors_without_values_are_refused() -> None:
    with meta():
        tensor = Tensor([1.0] * 4)
    with pytest.raises(ProgramError, match="meta"):
        as_bytes(relu_graph(specs={0: ROW, 1: ROW, 2: ROW}, states={2: tensor}, outputs=(1, 2)))


def test_a_state_that_has_changed_its_shape_is_refused() -> None:
    with pytest.raises(ProgramError, match="now; the graph was made for"):
        as_bytes(relu_graph(specs={0: ROW, 1: ROW, 2: ROW}, states={2: Tensor([1.0])}, outputs=(1, 2)))


@dataclass
class Views:
    """States in one memory: all of it, its first half, its second half."""

    whole: Tensor
    first: Tensor
    second: Tensor


def views() -> Views:
    whole = Tensor([1.0] * 8)
    return Views(whole, whole[:4], whole[4:])


def updating(states: dict[int, Tensor], changed: int) -> Graph:
    specs = {v: Spec(t.shape, t.dtype) for v, t in states.items()} | {8: ROW, 9: ROW}
    return Graph(specs, (8,), states, {}, [Call(Relu(), (8,), (9,))], tuple(states), {changed: 9})


def test_states_in_shared_memory_are_refused_where_one_is_updated() -> None:
    v = views()
    for states in (
        {0: v.first, 1: v.whole},
        {1: v.whole, 0: v.second},
        {0: v.second, 1: v.whole, 2: v.first},
    ):
        with pytest.raises(ProgramError, match="memory"):
            as_bytes(updating(states, 0))
    as_bytes(updating({0: v.first, 1: v.second}, 0))  # they touch, and do not overlap
    overlap = updating({0: v.first, 1: v.whole}, 0)
    overlap.updates = {}
    as_bytes(overlap)


# ---------------------------------------------------------------- versions and limits


def test_a_newer_version_is_refused_by_name_whatever_else_it_holds(tmp_path: Path) -> None:
    document, table, data = taken_apart(as_bytes(relu_graph()))
    newer = {"format": document["format"], "version": 5, "graph": {"new": [1.5]}}
    with pytest.raises(ProgramError, match="made by a newer TinyTorch: format 5, this one reads 4"):
        load(put_together(newer, table, data), tmp_path)


@pytest.mark.parametrize("changes", [{"version": 0}, {"version": -1}, {"version": "1"}, {"format": "onnx"}])
def test_other_versions_and_formats_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    document, table, data = taken_apart(as_bytes(relu_graph()))
    with pytest.raises(ProgramError):
        load(put_together(document | changes, table, data), tmp_path)


def test_a_weight_file_is_no_program(tmp_path: Path) -> None:
    from tinytorch.training.files import save_weights

    save_weights(small_mlp(), tmp_path / "weights.safetensors")
    with pytest.raises(ProgramError, match="not a program"):
        load_graph(tmp_path / "weights.safetensors")


def test_memory_counts_all_values_and_the_scratch_of_a_convolution(tmp_path: Path) -> None:
    content = as_bytes(relu_graph())
    load(content, tmp_path, Limits(memory=32))
    with pytest.raises(ProgramError, match="32 bytes .* limit is 31"):
        load(content, tmp_path, Limits(memory=31))
    from tinytorch.ops.conv import Conv2d

    specs = [Spec((1, 1, 4, 4), float32), Spec((1, 1, 2, 2), float32)]
    wide = as_bytes(single(Conv2d((1000, 1000), (1000, 1000)), specs))
    load(wide, tmp_path)
    with pytest.raises(ProgramError, match="scratch"):
        load(wide, tmp_path, Limits(memory=2**20))  # in a frame of 2004x2004


def test_work_adds_up_over_calls(tmp_path: Path) -> None:
    content = as_bytes(forward_graph(small_mlp()))
    work = 2 * (6 * 5 + 5 * 3) + 5 + 3 + 5  # products, biases, relu
    load(content, tmp_path, Limits(flops=work))
    with pytest.raises(ProgramError, match=f"{work} FLOPs .* limit is {work - 1}"):
        load(content, tmp_path, Limits(flops=work - 1))


def test_a_long_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    content = as_bytes(relu_graph())
    with pytest.raises(ProgramError, match="header of .* at most 64"):
        load(content, tmp_path, Limits(header=64))


def test_axes_without_elements_do_not_hide_long_ones(tmp_path: Path) -> None:
    empty = Spec((0, 2**20, 2**20), float32)
    with pytest.raises(ProgramError, match="limit"):
        load(as_bytes(relu_graph(specs={0: empty, 1: empty})), tmp_path)


def test_stateless_says_what_it_is() -> None:
    assert is_stateless(relu_graph())
    assert not is_stateless(mlp_step())
    from tinytorch.ops.random import Uniform

    assert not is_stateless(single(Uniform((2,), float32), [Spec((2,), int64)]))
