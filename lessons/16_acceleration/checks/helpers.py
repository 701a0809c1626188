"""Programs of a few lines as graphs, a plain way to run a graph, and memory looked at step by step."""

from __future__ import annotations

import re
import textwrap

import numpy as np
import pytest

from tinytorch import maximum
from tinytorch.acceleration.fused import Fused, parts
from tinytorch.acceleration.memory import ALIGNMENT, Life
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.ops.context import without_rules
from tinytorch.tensor import Tensor

GIVEN = {"x": (3, 3), "y": (3, 3), "w": (3, 3), "b": (3,)}
"""Inputs of the programs of these checks, and their shapes."""


@pytest.fixture(autouse=True)
def fused_freely():
    """Ops of earlier lessons may be fused: what is checked is how, whoever wrote them."""
    with without_rules():
        yield


def watched(seen, *arrays):
    """The arrays as such that note in `seen` the shapes of all products that they take part in."""

    def plain(things):
        return [np.asarray(t) if isinstance(t, Watched) else t for t in things]

    class Watched(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            if ufunc is np.matmul:
                seen.append([t.shape for t in inputs])
            if "out" in kwargs:
                kwargs["out"] = tuple(plain(kwargs["out"]))
            return getattr(ufunc, method)(*plain(inputs), **kwargs)

        def __array_function__(self, function, types, args, kwargs):
            if function.__name__ in ("dot", "einsum", "inner", "tensordot", "vdot"):
                seen.append([t.shape for t in args if isinstance(t, np.ndarray)])
            return function(*plain(args), **kwargs)

    return [array.view(Watched) for array in arrays]


# ---------------------------------------------------------------- programs


def graph_of(program):
    """The graph of a program in Python, an op a line, then what it returns; values are named as there."""
    *lines, last = [line.strip() for line in program.strip().splitlines()]
    body = textwrap.indent("\n".join([*lines, last]), "    ")
    given = [name for name in GIVEN if name in re.findall(r"\w+", body)]
    scope = {"maximum": maximum}
    exec(f"def function({', '.join(given)}):\n{body}\n", scope)
    rng = np.random.default_rng(0)
    tensors = [Tensor(rng.uniform(-1, 1, GIVEN[name]).astype(np.float32)) for name in given]
    with no_grad():
        graph = trace(scope["function"], tensors).graph
    assert len(graph.calls) == len(lines), f"an op a line: {program}"
    graph.names.update(zip(graph.inputs, given, strict=True))
    for call, line in zip(graph.calls, lines, strict=True):
        graph.names.update(zip(call.made, line.partition("=")[0].strip().split(", "), strict=True))
    return graph


def named(graph, values):
    """The names of values, in order."""
    return [graph.name(v) for v in values]


def kernels(graph):
    """The ops of each call of a graph, by name: of a fused one all that are in it; views are left out."""
    found = [[one.op.name for one in parts(call)] for call in graph.calls]
    return [names for names in found if names[0] not in ("permute", "reshape", "slice", "expand")]


class UnmadeError(Exception):
    """A call reads a value that is not there."""


def run(call, known):
    """Run one call on values by number; a fused one has nothing but its inputs, and leaves its results."""
    missing = [v for v in call.inputs if v not in known]
    if missing:
        raise UnmadeError(f"{call.op.name} reads v{missing[0]}, which nothing before it has made")
    if isinstance(call.op, Fused):
        inner = dict(zip(call.op.inputs, (known[v] for v in call.inputs), strict=True))
        for one in call.op.calls:
            run(one, inner)
        made = {v: inner[v] for v in call.op.results}
        assert tuple(made) == call.outputs, "the outputs of a fused call are the results of its op"
        known.update(made)
        return
    arrays = [known[v] for v in call.inputs]
    for position, value in zip(call.op.mutates, call.writes, strict=True):
        arrays[position] = known[value] = arrays[position].copy()
    found = call.op.forward(*arrays)
    for value, array in zip(call.outputs, (found,) if call.op.outputs == 1 else found, strict=True):
        if value not in call.writes:
            known[value] = np.asarray(array)


def results(graph, seed=0):
    """What a graph gives for random inputs, and what its states become; raises UnmadeError."""
    rng = np.random.default_rng(seed)
    known = {v: rng.uniform(-1, 1, graph.specs[v].shape).astype(graph.specs[v].dtype) for v in graph.inputs}
    known |= {v: tensor.numpy().copy() for v, tensor in graph.states.items()} | graph.constants
    for call in graph.calls:
        run(call, known)
    return [np.array(known[v]) for v in (*graph.outputs, *graph.updates.values())]


UNARY = ["{}.relu()", "{}.tanh()", "{}.abs()", "-{}", "{} * 0.5", "{} + 1.0"]
BINARY = ["{} + {}", "{} - {}", "{} * {}", "maximum({}, {})"]
OTHERS = ["{}.T", "{} @ {}", "{}.sum(1, True)", "{}.mean(0)", "{}[::-1]"]


def random_program(rng, lines):
    """A program over matrices of 3 x 3: element-wise ops, products, sums and views in any order."""
    square, small, text = ["x", "y", "w"], ["b"], ["v0 = x + w", "v1 = y * b"]
    square += ["v0", "v1"]
    for number in range(2, lines):
        kind = rng.random()
        form = str(rng.choice(UNARY if kind < 0.35 else BINARY if kind < 0.75 else OTHERS))
        recent = square[-6:] if rng.random() < 0.7 else square
        operands = [str(rng.choice(recent)), str(rng.choice(recent))]
        if form in BINARY[:3] and rng.random() < 0.2:
            operands[1] = str(rng.choice(small))
        text.append(f"v{number} = {form.format(*operands)}")
        (small if "sum" in form or "mean" in form else square).append(f"v{number}")
    returned = {square[-1], str(rng.choice(square[3:])), str(rng.choice((small + square)[1:]))} - {
        "x",
        "y",
        "w",
        "b",
    }
    return "\n".join([*text, f"return {', '.join(sorted(returned))}"])


# ---------------------------------------------------------------- memory


def random_lives(rng, count, steps=20, most=4000):
    """Buffers of random sizes and lives, some of them of equal size."""
    lives = []
    for _ in range(count):
        first = int(rng.integers(steps))
        last = min(steps - 1, first + int(rng.geometric(0.3)) - 1)
        size = int(rng.choice([64, 256, 1000, int(rng.integers(1, most))]))
        lives.append(Life(size, first, last))
    return lives


def at_once(lives):
    """The most bytes that are alive at one step: no plan takes less."""
    steps = range(1 + max(life.last for life in lives))
    return max(sum(life.nbytes for life in lives if life.first <= at <= life.last) for at in steps)


def clash(lives, offsets, total):
    """What goes wrong if each buffer writes its number into its bytes at each step, and "" if nothing."""
    if len(offsets) != len(lives):
        return f"{len(offsets)} offsets for {len(lives)} buffers"
    for i, (life, offset) in enumerate(zip(lives, offsets, strict=True)):
        if offset < 0 or offset % ALIGNMENT or offset + life.nbytes > total:
            return f"buffer {i} of {life.nbytes} bytes lies at {offset} in an arena of {total}"
    for step in range(1 + max((life.last for life in lives), default=-1)):
        memory = np.full(total, -1)
        for i, (life, offset) in enumerate(zip(lives, offsets, strict=True)):
            if life.first <= step <= life.last:
                there = memory[offset : offset + life.nbytes]
                if (there >= 0).any():
                    return f"at step {step} buffers {there.max()} and {i} share bytes"
                there[:] = i
    return ""


def greedy(lives):
    """Offsets and total of the planner as its text has it, on a picture of memory in lines of the cache."""
    lines = [-(-life.nbytes // ALIGNMENT) for life in lives]
    offsets = [0] * len(lives)
    placed = []
    for i in sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first)):
        taken = np.zeros(sum(lines) + 1, bool)
        for j in placed:
            if set(range(lives[i].first, lives[i].last + 1)) & set(range(lives[j].first, lives[j].last + 1)):
                taken[offsets[j] : offsets[j] + lines[j]] = True
        end = len(taken) - np.argmax(taken[::-1]) if taken.any() else 0
        edges = np.flatnonzero(np.diff(np.concatenate([[1], taken[:end].astype(int), [1]])))
        gaps = [(b - a, a) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= lines[i]]
        offsets[i] = int(min(gaps)[1]) if gaps else int(end)
        placed.append(i)
    total = max((offset + size for offset, size in zip(offsets, lines, strict=True)), default=0)
    return [ALIGNMENT * offset for offset in offsets], ALIGNMENT * total
