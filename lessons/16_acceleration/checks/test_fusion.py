"""Fusion: a group as one call, who may wait, who may join, and the pass that puts it together."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import fused_freely, graph_of, kernels, named, random_program, results

from tinytorch.acceleration.fused import Fused
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.passes.fuse import DefUse, Group, can_join, fuse, fused_call, join, may_wait
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.arithmetic import Mul
from tinytorch.ops.spec import Spec, float32
from tinytorch.ops.update import SGDUpdate
from tinytorch.tensor import Tensor

SQUARE = (3, 3)


def chains_of(program):
    """The def-use chains of a program; its calls are those of its lines, from 0 on."""
    return DefUse(graph_of(program))


def group(*calls, anchored=False, closed=False, shape=SQUARE):
    """A group of calls by line."""
    return Group(shape, calls, anchored, closed)


# ---------------------------------------------------------------- fused_call


@exercise("fused_call")
@pytest.mark.parametrize(
    ("program", "calls", "reads", "leaves"),
    [
        ("a = x * y\nc = a + b\nd = c.relu()\nreturn d", (0, 1, 2), ["x", "y", "b"], ["d"]),
        ("a = x * x\nc = a + x\nreturn c", (0, 1), ["x"], ["c"]),
        ("a = x.exp()\nc = a.relu()\nreturn a, c", (0, 1), ["x"], ["a", "c"]),
        ("a = x.exp()\nc = a.relu()\nd = c + a\ne = a.sum()\nreturn d, e", (0, 1, 2), ["x"], ["a", "d"]),
        ("a = x.exp()\nc = y.exp()\nd = a.relu()\nreturn d, c", (0, 2), ["x"], ["d"]),
        ("a = x.exp()\nc = y + w\nd = a * c\nreturn d", (0, 2), ["x", "c"], ["d"]),
        ("a = x.exp()\nc = a.relu()\nd = c.tanh()\nreturn d", (0, 1), ["x"], ["c"]),
        ("a = x.exp()\nc = a.T\nd = a.relu()\nreturn c, d", (0, 2), ["x"], ["a", "d"]),
        ("a = x.exp()\nc = a.relu()\nd = c.sum()\nreturn d", (0, 1, 2), ["x"], ["d"]),
    ],
)
def test_what_goes_in_and_what_comes_out(program, calls, reads, leaves):
    chains = chains_of(program)
    one = expect.value("fused_call(chains_of(program), group(*calls))", chains=chains)
    expect.equal("named(chains.graph, one.inputs)", reads, one=one, chains=chains)
    expect.equal("named(chains.graph, one.outputs)", leaves, one=one, chains=chains)
    expect.equal("one.op.inputs, one.op.results", (one.inputs, one.outputs), one=one)
    expect.equal("one.writes", (), one=one)
    expect.true("type(one.op) is Fused", "the op is a Fused", one=one)


@exercise("fused_call")
def test_members_in_the_order_of_the_group():
    chains = chains_of("a = y.exp()\np = x @ w\nc = p + a\nreturn c")
    one = expect.value("fused_call(chains, group(1, 0, 2, anchored=True))")
    expect.equal("[call.op.name for call in one.op.calls]", ["matmul", "exp", "add"], one=one)
    expect.equal("named(chains.graph, one.inputs)", ["x", "w", "y"], one=one)
    expect.equal("type(one.op.calls)", tuple, one=one)


@exercise("fused_call")
def test_all_specs_of_its_values_and_no_other():
    chains = chains_of("a = x * y\nc = a + b\nd = c.relu()\ne = w.exp()\nreturn d, e")
    one = expect.value("fused_call(chains, group(0, 1))")
    names = {chains.graph.name(v): spec.shape for v, spec in one.op.specs.items()}
    expect.equal("names", {"x": SQUARE, "y": SQUARE, "b": (3,), "a": SQUARE, "c": SQUARE}, names=names)


@exercise("fused_call")
def test_where_it_is_filed():
    graph = graph_of("p = x @ w\nc = p + b\nd = c.relu()\nreturn d")
    graph.calls = [replace(call, path=f"layer{i}") for i, call in enumerate(graph.calls)]
    expect.equal("fused_call(DefUse(graph), group(0, 1, 2, anchored=True)).path", "layer0", graph=graph)
    expect.equal("fused_call(DefUse(graph), group(1, 2)).path", "layer2", graph=graph)
    expect.equal("fused_call(DefUse(graph), group(0, 1, 2)).path", "layer2", graph=graph)
    expect.equal("fused_call(DefUse(graph), group(1, 2)).backward", False, graph=graph)
    graph.calls[1] = replace(graph.calls[1], backward=True)
    expect.equal("fused_call(DefUse(graph), group(1, 2)).backward", True, graph=graph)


@exercise("fused_call")
def test_what_a_state_becomes_leaves():
    specs = {0: Spec((), float32)} | dict.fromkeys(range(1, 5), Spec((4,), float32))
    weight = Tensor(np.ones(4, np.float32))
    calls = [Call(Mul(), (2, 2), (3,)), Call(SGDUpdate(1), (0, 1, 3), (4,), (4,))]
    graph = Graph(specs, (0, 2), {1: weight}, {}, calls, (), {1: 4})
    one = expect.value("fused_call(DefUse(graph), group(0, 1, shape=(4,)))")
    expect.equal("one.inputs, one.outputs", ((2, 0, 1), (4,)), one=one)
    fused = graph.with_calls([one])
    expect.close("results(fused)", results(graph), 1e-6, 1e-6, fused=fused)


@exercise("fused_call")
def test_it_computes_what_its_calls_do():
    program = "a = x * y\nc = a + b\nd = c.relu()\ne = d * a\nreturn e, c"
    graph = graph_of(program)
    one = expect.value("fused_call(chains_of(program), group(0, 1, 2, 3))")
    fused = graph.with_calls([one])
    expect.close("results(fused)", results(graph), 1e-6, 1e-6, fused=fused)


# ---------------------------------------------------------------- may_wait


@exercise("may_wait")
@pytest.mark.parametrize(
    ("program", "members", "at", "answer"),
    [
        ("a = x.exp()\nc = a.sum()\nd = a + y\nreturn c, d", {0}, 2, False),
        ("a = x.exp()\nc = y.sum()\nd = a + c\nreturn d", {0}, 2, True),
        ("a = x.exp()\nd = a + y\nc = a.sum()\nreturn c, d", {0}, 1, True),
        ("a = x.exp()\nd = a + y\nc = a.sum()\nreturn c, d", {0}, 2, False),
        ("a = x.exp()\nd = a + y\nc = d.sum()\nreturn a, c", {0, 1}, 2, True),
        ("a = x.exp()\nd = a + y\nc = d.sum()\nreturn a, c", {0, 1}, 1, True),
        ("a = x.exp()\nd = a + y\nc = d.sum()\ne = d * c\nreturn e", {0, 1}, 3, False),
        ("a = x.exp()\nt = a.T\nc = y + x\nd = a + c\nreturn d, t", {0}, 3, True),
        ("a = x.exp()\nt = a.T\nc = t.sum()\nd = a + c\nreturn d", {0}, 3, False),
        ("a = x.exp()\nt = a.T\nu = t[1:]\nc = u.sum()\nd = a + c\nreturn d", {0}, 4, False),
        ("a = x.exp()\nt = a.T\nu = t[1:]\nc = y.sum()\nd = a + c\nreturn d, u", {0}, 4, True),
        ("a = x.exp()\nt = a.T\nd = a + y\nc = t.sum()\nreturn d, c", {0}, 2, True),
        ("a = x.exp()\nt = a.T\nd = t + y\nreturn d", {0, 2}, 2, True),
        ("a = x.exp()\nc = y.exp()\ns = c.sum()\nd = a + c\nreturn d, s", {0, 1}, 3, False),
        ("a = x.exp()\nc = y.exp()\ns = a.sum()\nd = a + c\nreturn d, s", {0, 1}, 3, False),
        ("a = x.exp()\nt = a.T\nu = a[1:]\nc = t.sum()\nd = a + c\nreturn d, u", {0}, 4, False),
        ("a = x.exp()\nt = a[1:]\nu = a.T\nc = t.sum()\nd = a + c\nreturn d, u", {0}, 4, False),
        ("a = x.exp()\nc = a.relu()\ns = y.sum()\nreturn c, s", {0}, 2, False),
    ],
)
def test_who_may_wait(program, members, at, answer):
    expect.equal("may_wait(chains_of(program), members, at)", answer)


@exercise("may_wait")
def test_nothing_is_changed_by_the_question():
    members = {0, 1}
    chains = chains_of("a = x.exp()\nt = a.T\nc = t.sum()\nd = a + c\nreturn d")
    expect.equal("may_wait(chains, members, 3)", False, chains=chains)
    expect.equal("members", {0, 1})
    expect.equal("len(chains.graph.calls)", 4, chains=chains)


VIEWS = ("permute", "slice")


def nobody_reads(graph, members, at):
    """Whether all calls before `at` but the members can run though these have not."""
    missing = {v for i in members for v in graph.calls[i].made}
    for i, call in enumerate(graph.calls[:at]):
        if i not in members and missing.intersection(call.inputs):
            if call.op.name not in VIEWS:
                return False
            missing.update(call.made)
    return True


@exercise("may_wait")
@pytest.mark.parametrize("lines", [6, 10, 14, 15, 16])
def test_whoever_reads_is_in_the_way(rng, lines):
    program = random_program(rng, lines)
    graph = graph_of(program)
    for _ in range(30):
        at = int(rng.integers(1, lines))
        ready = [i for i in range(at) if graph.calls[i].op.name not in VIEWS]
        members = {int(i) for i in rng.choice(ready, min(len(ready), int(rng.integers(1, 4))), replace=False)}
        expect.equal("may_wait(chains_of(program), members, at)", nobody_reads(graph, members, at))


# ---------------------------------------------------------------- can_join


@exercise("can_join")
@pytest.mark.parametrize(
    ("program", "one", "other", "answer"),
    [
        ("a = x.exp()\nc = a.relu()\nreturn c", (0,), (1,), True),
        ("a = x.exp()\nc = y.relu()\nd = a + c\nreturn d", (0,), (1, 2), True),
        ("a = x.exp()\nc = a.relu()\nd = c.tanh()\nreturn d", (0, 1), (2,), True),
        ("a = x.exp()\nc = a.relu()\nd = c + a\nreturn d", (0,), (1, 2), True),
        ("a = x.exp()\ns = a.sum()\nc = y.exp()\nd = a * c\nreturn d, s", (2,), (0, 3), False),
        ("a = x.exp()\nc = a.relu()\nd = c + a\nreturn d", (0, 1), (0, 1, 2), False),
        ("a = x.exp()\nc = a.relu()\nd = c + a\nreturn d", (0,), (0, 1, 2), False),
        ("a = x.exp()\ns = a.sum()\nd = a * s\nreturn d", (0,), (2,), False),
        ("a = x.exp()\ns = y.sum()\nd = a * s\nreturn d", (0,), (2,), True),
        ("a = x.exp()\nt = a.T\nd = t + a\nreturn d", (0,), (2,), False),
        ("a = x.exp()\nt = a.T\nu = t.T\nd = u + a\nreturn d", (0,), (3,), False),
        ("a = x.exp()\nt = a.T\nd = a + y\nreturn d, t", (0,), (2,), True),
        ("a = x.exp()\nt = y.T\nd = a + t\nreturn d", (0,), (2,), True),
        ("a = x.exp()\nt = a.T\nc = t.tanh()\nd = c + a\nreturn d", (0,), (2, 3), False),
        ("a = x.exp()\nc = a.relu()\ns = c.sum()\nd = y + s\nreturn c, d", (0, 1), (3,), False),
        ("a = y.exp()\nc = x.exp()\ns = c.sum()\nd = a * s\nreturn d", (0, 1), (3,), False),
    ],
)
def test_chains_that_may_be_one(program, one, other, answer):
    expect.equal("can_join(chains_of(program), group(*one), group(*other))", answer)


@exercise("can_join")
def test_shapes_must_agree_and_a_sum_is_the_end():
    program = "a = b.exp()\nc = x + a\nreturn c"
    small = (3,)
    expect.equal("can_join(chains_of(program), group(0, shape=small), group(1))", False)
    program = "a = x * y\ns = a.sum(0)\nc = x + s\nreturn c"
    expect.equal("can_join(chains_of(program), group(0, 1, closed=True), group(2))", False)
    program = "a = x * y\nc = y.exp()\ns = c.sum(0)\nreturn a, s"
    expect.equal("can_join(chains_of(program), group(0), group(1, 2, closed=True))", False)


@exercise("can_join")
@pytest.mark.parametrize(
    ("program", "one", "first", "other", "second", "answer"),
    [
        ("p = x @ w\nc = p + b\nreturn c", (0,), True, (1,), False, True),
        ("p = x @ w\nc = p + b\nd = c.relu()\nreturn d", (0, 1), True, (2,), False, True),
        ("p = x @ w\nq = y @ w\nd = p + q\nreturn d", (1,), True, (0, 2), True, False),
        ("a = y.exp()\np = x @ w\nd = p + a\nreturn d", (0,), False, (1, 2), True, True),
        ("a = x.exp()\np = a @ w\nd = p + a\nreturn d", (0,), False, (1, 2), True, False),
        ("a = w.exp()\np = x @ a\nd = p + a\nreturn d", (0,), False, (1, 2), True, False),
        ("a = x.exp()\np = a @ w\nd = a + p\nreturn d", (1,), True, (0, 2), False, False),
        ("a = x.exp()\nt = a.T\np = t @ w\nd = a + p\nreturn d", (2,), True, (0, 3), False, False),
        ("a = y.exp()\np = x @ w\nd = a + p\nreturn d", (1,), True, (0, 2), False, True),
        ("a = x.exp()\nc = a.relu()\np = a @ w\nd = p + c\nreturn d", (0, 1), False, (2, 3), True, False),
        ("p = x @ w\na = p.exp()\ns = p.sum()\nd = a * s\nreturn d", (0, 1), True, (3,), False, False),
    ],
)
def test_products_come_first(program, one, first, other, second, answer):
    expect.equal(
        "can_join(chains_of(program), group(*one, anchored=first), group(*other, anchored=second))", answer
    )


# ---------------------------------------------------------------- join


@exercise("join")
@pytest.mark.parametrize(
    ("program", "groups", "at", "calls", "anchored"),
    [
        ("a = x.exp()\nreturn a", {}, 0, (0,), False),
        ("a = x.exp()\nc = a.relu()\nreturn c", {0: group(0)}, 1, (0, 1), False),
        ("a = x.exp()\nc = y.relu()\nreturn a, c", {0: group(0)}, 1, (1,), False),
        ("p = x @ w\nc = p + b\nreturn c", {0: group(0, anchored=True)}, 1, (0, 1), True),
        (
            "a = x.exp()\nc = y.exp()\nd = a.tanh()\ne = d + c\nreturn e",
            {0: group(0, 2), 1: group(1), 2: group(0, 2)},
            3,
            (0, 1, 2, 3),
            False,
        ),
        (
            "a = y.exp()\np = x @ w\nd = a + p\nreturn d",
            {0: group(0), 1: group(1, anchored=True)},
            2,
            (1, 0, 2),
            True,
        ),
        (
            "p = x @ w\nq = y @ w\nd = q + p\nreturn d",
            {0: group(0, anchored=True), 1: group(1, anchored=True)},
            2,
            (1, 2),
            True,
        ),
        (
            "a = x.exp()\nc = a.relu()\nd = c + a\nreturn d",
            {0: group(0, 1), 1: group(0, 1)},
            2,
            (0, 1, 2),
            False,
        ),
        (
            "a = x.exp()\ns = a.sum()\nc = y.tanh()\nd = maximum(a, c)\nreturn d, s",
            {0: group(0), 2: group(2)},
            3,
            (2, 3),
            False,
        ),
    ],
)
def test_whom_a_call_joins(program, groups, at, calls, anchored):
    before = dict(groups)
    got = expect.value("join(chains_of(program), groups, at)")
    expect.equal("got.calls, got.anchored", (calls, anchored), got=got)
    expect.equal("got.shape, got.closed", (SQUARE, False), got=got)
    expect.equal("groups", before)


@exercise("join")
def test_the_shape_of_a_group_is_that_of_what_it_makes():
    expect.equal("join(chains_of('a = b * 2.0\\nreturn a'), {}, 0).shape", (3,))
    expect.equal("join(chains_of('a = b + x\\nreturn a'), {}, 0).shape", SQUARE)
    expect.equal("join(chains_of('a = x + b\\nreturn a'), {}, 0).shape", SQUARE)
    program = "a = b * 2.0\nc = x + a\nreturn c"
    small = {0: group(0, shape=(3,))}
    expect.equal("join(chains_of(program), small, 1).calls", (1,))


@exercise("join")
@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("a = x * 2.0\nc = a.exp()\nd = c + x\nreturn d", [["mul", "exp", "add"]]),
        ("a = x.relu()\nc = a.exp()\nd = c + a\nreturn d", [["relu", "exp", "add"]]),
        (
            "p = x @ w\nc = p + b\nd = c.relu()\ne = d + x\nreturn e",
            [["matmul", "add", "relu", "add"]],
        ),
        ("p = x @ w\nq = y @ w\nd = p + q\nreturn d", [["matmul"], ["matmul", "add"]]),
        ("a = x.exp()\np = a @ w\nd = p + a\nreturn d", [["exp"], ["matmul", "add"]]),
        ("a = y.exp()\np = x @ w\nd = p + a\nreturn d", [["matmul", "exp", "add"]]),
        ("a = x.exp()\ns = a.sum()\nc = a + y\nd = c * s\nreturn d", [["exp"], ["sum"], ["add", "mul"]]),
        ("a = x * x\ns = a.sum(1)\nreturn s", [["mul", "sum"]]),
        ("a = x * x\ns = a.sum(0)\nc = x + s\nreturn c", [["mul", "sum"], ["add"]]),
        ("a = x.exp()\nt = a.T\nd = t + a\nreturn d", [["exp"], ["add"]]),
        ("a = x.exp()\nt = a.T\nd = t + y\nreturn d", [["exp"], ["add"]]),
        ("a = b.exp()\nc = x + a\nd = c.tanh()\nreturn d", [["exp"], ["add", "tanh"]]),
        (
            "p = x @ w\nc = p.relu()\nq = c @ w\nd = q.relu()\nreturn d, c",
            [["matmul", "relu"], ["matmul", "relu"]],
        ),
    ],
)
def test_the_kernels_of_a_program(program, wanted):
    graph = graph_of(program)
    expect.equal("kernels(fuse(graph_of(program)))", wanted)
    got = expect.value("fuse(graph)")
    expect.close("results(got)", results(graph), 1e-6, 1e-6, got=got)


@exercise("join")
@pytest.mark.parametrize("lines", range(5, 35))
def test_any_program_stays_what_it_was(rng, lines):
    program = random_program(rng, lines)
    graph = graph_of(program)
    got = expect.value("fuse(graph_of(program))")
    expect.close("results(got)", results(graph), 1e-4, 1e-5, got=got)
    ops = sorted(name for names in kernels(graph) for name in names)
    expect.equal("sorted(name for names in kernels(got) for name in names)", ops, got=got)
