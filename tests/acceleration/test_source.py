"""The source of a program: that it is Python to read, and that running it gives what the program gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tests.acceleration.program_cases import Case, Rows, cases
from tinytorch import Tensor
from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.interpret import interpret
from tinytorch.acceleration.naming import state_names
from tinytorch.acceleration.native.functions import HELPERS, WIDTH, folded
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.layout import Layout
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.native.readable import philox
from tinytorch.acceleration.native.source import ops_of, render, run_source, states_of
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.errors import ShapeError
from tinytorch.nn import Linear, Module, functional
from tinytorch.ops.base import clock
from tinytorch.ops.context import rules
from tinytorch.ops.spec import Array

CASES = {case.name: case for case in cases()}
COMPILED = [
    "mlp",
    "mlp momentum",
    "cnn",
    "cnn sgd",
    "gpt",
    "gpt adamw",
    "batch norm",
    "attention",
    "winograd",
]
COMPILED += ["softmax", "pooling", "random", "codes", "codes of images", "codes of four bits"]
"""Those that are compared with machine code too, which takes a second to make."""


def run(case: Case, inputs: Sequence[Array]) -> tuple[list[Array], dict[str, Array]]:
    """The outputs of a case's source, and the states that it leaves, which are copies."""
    states = {name: array.copy() for name, array in states_of(case).items()}
    return run_source(render(case), inputs, states, ops_of(case)), states


def expected(case: Case, inputs: Sequence[Array]) -> tuple[Sequence[Array], dict[str, Array]]:
    """The same of the graph as it was traced, by each op's own forward."""
    states = {v: t._array.copy() for v, t in case.graph.states.items()}
    outputs = interpret(case.graph, inputs, states)
    return outputs, {case.graph.name(v): array for v, array in states.items()}


def assert_close(found: Array, wanted: Array) -> None:
    """Equal shapes and dtypes, and numbers within 1e-5 of the largest of them."""
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    scale = float(np.abs(wanted.astype(np.float64)).max()) if wanted.size else 0.0
    np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), 1e-5, 1e-5 * scale + 1e-7)


def assert_states(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    for name, array in found.items():
        if name in wanted:
            assert_close(array, wanted[name])


# ---------------------------------------------------------------- the same result


@pytest.mark.parametrize("name", CASES)
def test_runs_and_gives_what_the_ops_give(name: str) -> None:
    case, inputs = CASES[name], CASES[name].inputs()
    outputs, states = run(case, inputs)
    wanted, left = expected(case, inputs)
    for found, array in zip(outputs, wanted, strict=True):
        assert_close(found, array)
    assert_states(states, left)
    if case.graph.updates:
        kept = expected(case, inputs)[1]
        live = {case.graph.name(v): t._array for v, t in case.graph.states.items()}
        changed = [n for n in kept if n in states and not np.array_equal(states[n], live[n])]
        assert changed, "a run of the source changes states"


@pytest.mark.parametrize("name", COMPILED)
def test_gives_what_the_machine_code_gives(name: str) -> None:
    case = CASES[name]
    program, inputs = Program(case.lowered, use_cache=False), case.inputs()
    outputs, states = run(case, inputs)
    kept = {v: t._array.copy() for v, t in case.graph.states.items()}
    for found, array in zip(outputs, program.run(inputs, clock.now), strict=True):
        assert_close(found, array)
    assert_states(states, states_of(case))
    for value, array in kept.items():
        if value in case.graph.updates:
            case.graph.states[value]._array[...] = array


def test_a_second_run_goes_on_with_the_states_of_the_first() -> None:
    case = CASES["random"]
    inputs, text = case.inputs(), render(case)
    states = {name: array.copy() for name, array in states_of(case).items()}
    first = run_source(text, inputs, states, ops_of(case))
    second = run_source(text, inputs, states, ops_of(case))
    kept = {v: t._array.copy() for v, t in case.graph.states.items()}
    for found in (first, second):
        for array, wanted in zip(found, interpret(case.graph, inputs, kept), strict=True):
            assert_close(array, wanted)
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("counter", [1, 2, 1 << 40])
def test_random_words_are_those_of_numpy(counter: int) -> None:
    stream = np.random.Philox(key=2**63 + 11, counter=counter - 1)
    assert philox(2**63 + 11, counter) == [int(word) for word in stream.random_raw(4)]


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize("name", CASES)
def test_is_a_module_to_read(name: str) -> None:
    text = render(CASES[name])
    tree = ast.parse(text)
    assert (ast.get_docstring(tree) or "").startswith("A compiled program as loops over arrays")
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(line == line.rstrip() for line in text.splitlines())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert all(ast.get_docstring(function) for function in functions)
    names = [function.name for function in functions]
    assert len(set(names)) == len(names)
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert set(names) <= {*loaded, "program"}, "no function is written that nothing calls"
    assert loaded.isdisjoint({"frame", *HELPERS} - set(names)), "each helper that is called is there"


@pytest.mark.parametrize("name", CASES)
def test_no_operand_is_overwritten_by_a_loop(name: str) -> None:
    for node in ast.parse(render(CASES[name])).body:
        if isinstance(node, ast.FunctionDef) and node.name not in {"program", *HELPERS}:
            arguments = {argument.arg for argument in node.args.args}
            names = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
            assert arguments.isdisjoint(name.id for name in names), node.name


def test_every_kernel_is_rendered() -> None:
    steps = [step for case in CASES.values() for step in case.lowered.steps]
    met = {type(step) for step in steps if isinstance(step, Kernel)}
    assert set(concrete(Kernel)) <= met  # type: ignore[type-abstract]


def concrete(base: type[Kernel]) -> Iterator[type[Kernel]]:
    """The kernels that have code of their own, those of the package."""
    for kind in base.__subclasses__():
        if "text" in vars(kind) and kind.__module__.startswith("tinytorch."):
            yield kind
        yield from concrete(kind)


@dataclass
class Planned:
    """A plan alone."""

    layout: Layout


def test_memory_is_that_of_the_plan() -> None:
    case = CASES["gpt adamw"]
    text = render(case)
    assert f"arena = np.zeros({case.layout.arena_bytes}, np.uint8)" in text
    pattern = r"t\d+ = np\.ndarray\(\((.*)\), \"(\w+)\", arena, (\d+)\)"
    ends = []
    for shape, dtype, offset in re.findall(pattern, text):
        size = int(np.prod([int(n) for n in shape.split(",") if n.strip()])) * np.dtype(dtype).itemsize
        ends.append(int(offset) + size)
    assert len(ends) > 40
    assert max(ends) <= case.layout.arena_bytes
    assert {int(offset) for _, _, offset in re.findall(pattern, text)} <= set(case.layout.offset.values())
    assert re.search(r"# in place of t\d+", text)
    assert re.search(r"# where (t\d+, )*t\d+ lay", text)


def test_what_is_said_to_have_lain_there_did() -> None:
    text = render(CASES["gpt adamw"])
    pattern = r"(t\d+) = np\.ndarray\(\((.*)\), \"(\w+)\", arena, (\d+)\).*?(?:  # where (.*) lay)?$"
    spans: dict[str, tuple[int, int]] = {}
    for name, shape, dtype, offset, earlier in re.findall(pattern, text, re.MULTILINE):
        size = int(np.prod([int(n) for n in shape.split(",") if n.strip()])) * np.dtype(dtype).itemsize
        spans[name] = int(offset), int(offset) + size
        for other in filter(None, earlier.split(", ")):
            assert spans[other][0] < spans[name][1]
            assert spans[name][0] < spans[other][1]
            last = max(m.start() for m in re.finditer(rf"\b{other}\b(?!,.* lay| lay)", text))
            assert last < text.index(f"    {name} = "), f"{other} is read after {name} took its place"


def test_equal_kernels_share_a_function() -> None:
    text = render(CASES["gpt"])
    assert text.count("def matmul_add(") == 1
    assert len(re.findall(r"^    matmul_add\(", text, re.MULTILINE)) == 3, "q, k and v"


def test_states_have_the_names_of_modules_and_optimizers() -> None:
    case = CASES["gpt adamw"]
    names = state_names(case.graph, case.modules, case.optimizers)
    assert len(names) == len(case.graph.states)
    assert len(set(names.values())) == len(names)
    assert {"lr", "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc1.weight.exp_avg", "wte.weight.step"} <= {
        *names.values()
    }
    text = render(case, names)
    assert 'blocks_0_mlp_fc1_weight = states["blocks.0.mlp.fc1.weight"]  # float32[64, 16]' in text
    assert "# blocks.0.mlp.fc1, blocks.0.mlp.act: matmul, add, gelutanh" in text
    states = {name: array.copy() for name, array in states_of(case, names).items()}
    inputs = case.inputs()
    outputs = run_source(text, inputs, states)
    wanted, left = expected(case, inputs)
    assert_close(outputs[0], wanted[0])
    numbers = {name: case.graph.name(value) for value, name in names.items()}
    for name, array in states.items():
        assert_close(array, left[numbers[name]])


def test_two_models_and_random_numbers_have_names() -> None:
    first, second = Linear(3, 3), Linear(3, 3)
    function = lambda x: functional.dropout(second(first(x)), 0.5, training=True)  # noqa: E731
    graph = trace(function, [Rows()(2, 3)]).graph
    names = state_names(graph, [first, second])
    assert {"linear.weight", "linear1.weight", "random"} <= set(names.values())


def test_names_that_mean_something_else_are_kept_apart() -> None:
    class Odd(Module):
        def __init__(self) -> None:
            super().__init__()
            self.x, self.np, self.t1, self.sum, self.out = (Rows(i)(4, 4, grad=True) for i in range(5))

        def forward(self, x: Tensor) -> Tensor:
            return ((x @ self.x).relu() @ self.np + x @ self.t1 @ self.sum) @ self.out

    odd = Odd()
    case = Case("odd", odd, [Rows(9)(3, 4)], modules=[odd])
    names = state_names(case.graph, case.modules)
    assert set(names.values()) == {"x", "np", "t1", "sum", "out"}
    states = {name: array.copy() for name, array in states_of(case, names).items()}
    (found,) = run_source(render(case, names), case.inputs(), states, ops_of(case))
    assert_close(found, expected(case, case.inputs())[0][0])


def test_equal_names_are_told_apart() -> None:
    case = CASES["mlp"]
    names = dict.fromkeys(case.graph.states, 'the "same"\\')
    states = {name: array.copy() for name, array in states_of(case, names).items()}
    assert len(states) == len(case.graph.states)
    (found,) = run_source(render(case, names), case.inputs(), states)
    assert_close(found, expected(case, case.inputs())[0][0])


# ---------------------------------------------------------------- what has no kernel, what is refused


def test_ops_without_a_kernel_are_called_by_name() -> None:
    case = CASES["numpy"]
    left = [step.call.op.name for step in case.lowered.steps if isinstance(step, Fallback)]
    assert left == ["sin", "softmax"]
    assert [name.rsplit("_", 1)[0] for name in ops_of(case)] == left
    assert 'ops["sin_1"](' in render(case)


def test_a_learners_rule_is_left_to_the_op() -> None:
    before = set(rules)
    rules.add("Relu")
    try:
        graph = trace(lambda x: x.relu() * 2.0, [Rows()(3, 4)]).graph
        plan = Planned(Layout(lower(optimise(graph))))
        text, ops = render(plan), ops_of(plan)
    finally:
        rules.clear()
        rules.update(before)
    assert 'ops["relu_1"](' in text
    x = Rows()(3, 4).data
    assert_close(run_source(text, [x], {}, ops)[0], np.maximum(x, 0) * 2)


def test_ids_without_a_row_are_refused() -> None:
    case = CASES["lookup"]
    with pytest.raises(IndexError, match=r"6 is not in 0 \.\. 5"):
        run(case, [np.array([[0, 1], [6, 2]])])
    with pytest.raises(ShapeError):
        expected(case, [np.array([[0, 1], [6, 2]])])


def test_labels_none_of_which_counts_are_refused() -> None:
    case = CASES["cross-entropy mean 0.0"]
    with pytest.raises(ValueError, match="all are -100"):
        run(case, [case.inputs()[0], np.full(4, -100), *case.inputs()[2:]])


def test_long_lines_are_broken_where_python_lets_them() -> None:
    line = "    total = f(a, g(b, c), 'x, y', [d + e for e in range(12)], h[i, j])"
    for width in range(20, 90):
        assert ast.dump(ast.parse("if 1:\n" + "\n".join(folded(line, width)))) == ast.dump(
            ast.parse("if 1:\n" + line)
        )


def test_comments_name_each_module_of_a_model() -> None:
    case = CASES["cnn sgd"]
    text = render(case)
    paths = {one.path for call in case.lowered.graph.calls for one in parts(call) if moves(call)}
    for path in filter(None, paths):
        assert re.search(rf"^ *# .*\b{re.escape(path)}\b", text, re.MULTILINE), path


def moves(call: Call) -> bool:
    """Whether a call is more than a view."""
    return not call.op.is_view
