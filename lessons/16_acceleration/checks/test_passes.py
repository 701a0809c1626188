"""Passes: calls that nobody wants, and calls that are made twice."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import fused_freely, graph_of, kernels, named, random_program, results

from tinytorch.acceleration.graph import Call, Graph, describe
from tinytorch.acceleration.passes.common import merge_equal
from tinytorch.acceleration.passes.dead import remove_dead
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.activation import GeluTanh
from tinytorch.ops.elementwise import Exp
from tinytorch.ops.index import Assign
from tinytorch.ops.spec import Spec, float32
from tinytorch.tensor import Tensor


def left(graph):
    """The names of what the calls of a graph make."""
    return [name for call in graph.calls for name in named(graph, call.made)]


def row(count):
    """Specs of so many values of four numbers."""
    return dict.fromkeys(range(count), Spec((4,), float32))


# ---------------------------------------------------------------- remove_dead


@exercise("remove_dead")
@pytest.mark.parametrize(
    ("program", "kept"),
    [
        ("a = x.exp()\nc = x.relu()\nreturn c", ["c"]),
        ("a = x.exp()\nc = x.relu()\nreturn a", ["a"]),
        ("a = x.exp()\nc = a.relu()\nd = c + a\ne = x.tanh()\nreturn e", ["e"]),
        ("a = x.exp()\nc = a.relu()\nd = a.tanh()\nreturn d", ["a", "d"]),
        ("a = x.exp()\nc = a.relu()\nd = c * a\ne = d.sum()\nreturn d, a", ["a", "c", "d"]),
        ("a = x.exp()\nc = y.relu()\nd = a + y\ne = c + d\nf = e * c\nreturn e", ["a", "c", "d", "e"]),
        ("a = x.exp()\nreturn x", []),
    ],
)
def test_calls_that_nobody_wants(program, kept):
    graph = graph_of(program)
    expect.equal("left(remove_dead(graph_of(program)))", kept)
    got = expect.value("remove_dead(graph)")
    expect.close("results(got)", results(graph), 0, 0, got=got)


@exercise("remove_dead")
def test_the_graph_itself_stays():
    graph = graph_of("a = x.exp()\nc = x * 2.0\nd = x.relu()\nreturn d")
    got = expect.value("remove_dead(graph)")
    expect.equal("left(graph)", ["a", "c", "d"], graph=graph)
    expect.equal("len(got.constants)", 0, got=got)


@exercise("remove_dead")
def test_what_a_state_becomes_is_wanted():
    weight = Tensor([1.0, 2.0])

    def step(x):
        weight.assign_(weight + x.exp())
        x.relu()
        return x.tanh()

    with no_grad():
        graph = trace(step, [Tensor([0.5, -0.5])]).graph
    got = expect.value("remove_dead(graph)")
    expect.equal("kernels(got)", [["exp"], ["add"], ["assign"], ["tanh"]], got=got)
    expect.equal("list(got.updates.values())", list(graph.updates.values()), got=got)


@exercise("remove_dead")
def test_one_wanted_output_is_enough():
    calls = [Call(GeluTanh(), (0,), (1, 2)), Call(GeluTanh(), (0,), (3, 4)), Call(GeluTanh(), (0,), (5, 6))]
    graph = Graph(row(7), (0,), {}, {}, calls, (6, 1))
    expect.equal("[call.outputs for call in remove_dead(graph).calls]", [(1, 2), (5, 6)], graph=graph)


@exercise("remove_dead")
@pytest.mark.parametrize("lines", [4, 8, 20, 21, 22])
def test_any_program_keeps_its_results(rng, lines):
    program = random_program(rng, lines)
    graph = graph_of(program)
    wanted, before = set(), None
    while wanted != before:  # until no more comes to it
        before = set(wanted)
        wanted |= {i for i, c in enumerate(graph.calls) if set(c.made) & set(graph.outputs)}
        read = {v for i in wanted for v in graph.calls[i].inputs}
        wanted |= {i for i, c in enumerate(graph.calls) if set(c.made) & read}
    kept = [graph.name(graph.calls[i].outputs[0]) for i in sorted(wanted)]
    expect.equal("left(remove_dead(graph_of(program)))", kept)
    expect.close("results(remove_dead(graph_of(program)))", results(graph), 0, 0)


# ---------------------------------------------------------------- merge_equal


@exercise("merge_equal")
@pytest.mark.parametrize(
    ("program", "kept"),
    [
        ("a = x.exp()\nc = x.exp()\nd = a + c\nreturn d", ["a", "d"]),
        ("a = x.exp()\nc = y.exp()\nd = a + c\nreturn d", ["a", "c", "d"]),
        ("a = x.exp()\nc = x.relu()\nd = a + c\nreturn d", ["a", "c", "d"]),
        ("a = x - y\nc = y - x\nd = a + c\nreturn d", ["a", "c", "d"]),
        ("a = x.sum(0)\nc = x.sum(1)\nd = x.sum(0)\ne = a + c\nf = e + d\nreturn f", ["a", "c", "e", "f"]),
        ("a = x.exp()\nc = a.tanh()\nd = x.exp()\ne = d.tanh()\nf = c * e\nreturn f", ["a", "c", "f"]),
        ("a = x.exp()\nc = x.exp()\nd = a + c\ne = c + a\nf = d * e\nreturn f", ["a", "d", "f"]),
        ("a = x * 2.0\nc = x * 2.0\nd = a + c\nreturn d", ["a", "d"]),
        ("a = x * 2.0\nc = x * 3.0\nd = a + c\nreturn d", ["a", "c", "d"]),
        ("a = x.exp()\nc = x.exp()\nd = x.exp()\ne = c - d\nreturn e", ["a", "e"]),
    ],
)
def test_what_is_made_twice(program, kept):
    graph = graph_of(program)
    expect.equal("left(merge_equal(graph_of(program)))", kept)
    got = expect.value("merge_equal(graph)")
    expect.close("results(got)", results(graph), 0, 0, got=got)


@exercise("merge_equal")
def test_who_read_the_second_reads_the_first():
    program = "a = x.exp()\nc = x.exp()\nd = c.tanh()\nreturn a, c, d"
    got = expect.value("merge_equal(graph_of(program))")
    expect.equal("named(got, got.outputs)", ["a", "a", "d"], got=got)
    expect.equal("named(got, got.calls[-1].inputs)", ["a"], got=got)


@exercise("merge_equal")
def test_constants_are_merged_too():
    program = "a = x * 2.0\nc = y * 2.0\nd = a + c\nreturn d"
    got = expect.value("merge_equal(graph_of(program))")
    expect.equal("len(got.constants)", 1, got=got)
    expect.equal("len(got.calls)", 3, got=got)


@exercise("merge_equal")
def test_the_first_keeps_its_module():
    graph = graph_of("a = x.exp()\nc = x.exp()\nd = a + c\nreturn d")
    graph.calls = [replace(call, path=f"layer{i}") for i, call in enumerate(graph.calls)]
    got = expect.value("merge_equal(graph)")
    expect.equal("[call.path for call in got.calls]", ["layer0", "layer2"], got=got)
    expect.equal("len(graph.calls)", 3, graph=graph)


@exercise("merge_equal")
def test_all_outputs_of_a_call_are_replaced():
    calls = [Call(GeluTanh(), (0,), (1, 2)), Call(GeluTanh(), (0,), (3, 4))]
    graph = Graph(row(5), (0,), {}, {}, calls, (3, 4, 1, 2))
    got = expect.value("merge_equal(graph)")
    expect.equal("got.outputs, len(got.calls)", ((1, 2, 1, 2), 1), got=got)


@exercise("merge_equal")
def test_a_change_in_place_is_made_each_time():
    calls = [Call(Assign(), (0, 1), (2,), (2,)), Call(Assign(), (0, 1), (3,), (3,))]
    graph = Graph(row(4), (0, 1), {}, {}, calls, (2, 3))
    expect.equal("[call.made for call in merge_equal(graph).calls]", [(2,), (3,)], graph=graph)
    calls = [
        Call(GeluTanh(), (1,), (2, 3)),
        Call(GeluTanh(), (1,), (4, 5)),
        Call(Assign(), (0, 5), (6,), (6,)),
    ]
    graph = Graph(row(7), (0, 1), {}, {}, calls, (6,))
    expect.equal("[call.inputs for call in merge_equal(graph).calls]", [(1,), (0, 3)], graph=graph)


@exercise("merge_equal")
def test_ops_of_other_types_are_others():
    class Other(Exp):
        name = Exp().name

        def forward(self, a):
            return a * 0

    calls = [Call(Exp(), (0,), (1,)), Call(Other(), (0,), (2,))]
    graph = Graph(row(3), (0,), {}, {}, calls, (1, 2))
    assert describe(calls[0].op) == describe(calls[1].op)
    expect.equal("merge_equal(graph).outputs", (1, 2), graph=graph)


@exercise("merge_equal")
@pytest.mark.parametrize("lines", [6, 12, 24, 25, 26])
def test_any_program_makes_each_thing_once(rng, lines):
    program = random_program(rng, lines)
    graph = graph_of(program)
    text = {v: graph.name(v) for v in graph.inputs} | {v: str(a) for v, a in graph.constants.items()}
    for call in graph.calls:
        text[call.outputs[0]] = f"{describe(call.op)}({', '.join(text[v] for v in call.inputs)})"
    different = {text[call.outputs[0]] for call in graph.calls}
    got = expect.value("merge_equal(graph_of(program))")
    expect.equal("len(got.calls)", len(different), got=got)
    expect.close("results(got)", [np.asarray(r) for r in results(graph)], 1e-6, 1e-6, got=got)
