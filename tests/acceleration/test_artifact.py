"""Program files: what is saved comes back, in a fresh process too, and gives the same numbers bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from tests.acceleration.artifact_files import (
    ROW,
    Array,
    forward_graph,
    load,
    mlp_step,
    relu_graph,
    small_cnn,
    small_mlp,
    step_graph,
    taken_apart,
)
from tinytorch import Tensor, no_grad
from tinytorch.acceleration.artifact import Limits, load_artifact, load_graph, save_graph
from tinytorch.acceleration.artifact.registry import OPS
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.interpret import interpret
from tinytorch.acceleration.trace import trace
from tinytorch.errors import ProgramError
from tinytorch.models import BERT, CNN, GPT, MLP
from tinytorch.nn import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.elementwise import Relu
from tinytorch.ops.spec import Spec, bool_, float16, float32, float64, int8, int32, int64
from tinytorch.optim import SGD, AdamW
from tinytorch.random import Generator


def same(left: Array, right: Array) -> bool:
    """Equal bit for bit, NaN and -0.0 included."""
    return (left.shape, left.dtype) == (right.shape, right.dtype) and left.tobytes() == right.tobytes()


def run(graph: Graph, *inputs: Array) -> tuple[Array, ...]:
    return tuple(map(np.copy, interpret(graph, inputs)))


# ---------------------------------------------------------------- models


def models() -> list[Module]:
    g = Generator(5)
    return [
        MLP(generator=g),
        CNN(generator=g),
        GPT(vocab_size=30, context=12, width=16, layers=2, heads=2, generator=g),
        BERT(vocab_size=30, context=12, width=16, layers=2, heads=2, generator=g),
    ]


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_a_loaded_model_gives_the_same_bits(model: Module, tmp_path: Path) -> None:
    model.eval()
    graph = forward_graph(model)
    loaded = load(as_bytes(graph), tmp_path)
    given = model.example_input.data
    rng = np.random.default_rng(0)
    other = rng.integers(0, 30, given.shape) if given.dtype.kind == "i" else rng.normal(size=given.shape)
    for x in (given, other.astype(given.dtype)):
        expected, found = run(graph, x), run(loaded.graph, x)
        assert same(found[0], expected[0])
        with no_grad():
            assert same(found[0], model(Tensor(x)).data)  # as eager, kernel for kernel
    assert loaded.stateless
    assert [(c.path, c.backward) for c in loaded.graph.calls] == [(c.path, c.backward) for c in graph.calls]


def test_a_loaded_model_keeps_the_weights_of_the_moment_of_saving(tmp_path: Path) -> None:
    model = small_mlp()
    graph, x = forward_graph(model), model.example_input.data
    before = run(graph, x)
    content = as_bytes(graph)
    model.layers[0].weight.assign_(0.0)
    assert same(run(load(content, tmp_path).graph, x)[0], before[0])
    assert not same(run(graph, x)[0], before[0])


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_a_loaded_training_step_goes_on_as_the_original(optimizer: Any, tmp_path: Path) -> None:
    model = small_cnn()
    batch = Generator(3).rand(4, 1, 8, 8), Tensor(np.array([0, 7, 2, 9]))
    graph = step_graph(model, optimizer(model.parameters(), lr=0.05, weight_decay=0.1), *batch)
    loaded = load(as_bytes(graph), tmp_path)
    assert not loaded.stateless
    x, y = (t.data for t in batch)
    states = list(graph.states.values()), list(loaded.graph.states.values())
    for _ in range(3):
        for expected, found in zip(run(graph, x, y), run(loaded.graph, x, y), strict=True):
            assert same(found, expected)
        assert all(same(a.data, b.data) for a, b in zip(*states, strict=True))


def test_random_numbers_come_from_the_same_stream(tmp_path: Path) -> None:
    model = GPT(vocab_size=9, context=4, width=8, layers=1, heads=1, dropout=0.5, generator=Generator(7))
    ids = model.example_input
    with no_grad():
        graph = trace(model, [ids]).graph
    loaded = load(as_bytes(graph), tmp_path)
    assert not loaded.stateless
    first, second = (run(graph, ids.data)[0] for _ in range(2))
    assert not same(first, second)
    assert same(run(loaded.graph, ids.data)[0], first)
    assert same(run(loaded.graph, ids.data)[0], second)


CHILD = """
import sys
import numpy as np
from tinytorch.acceleration.artifact import load_graph
from tinytorch.acceleration.interpret import interpret
x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
outputs = interpret(load_graph(sys.argv[1]), [x])
assert not any(name.startswith(("tests", "tinytorch.models")) for name in sys.modules)
sys.stdout.buffer.write(b"".join(out.tobytes() for out in outputs))
"""


class Unknown(Module):
    """A model that no other process has the code of."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = Linear(6, 5, generator=Generator(1)), Linear(5, 3, generator=Generator(2))

    def forward(self, x: Tensor) -> Tensor:
        return (self.outer(self.inner(x).tanh()) * 0.1).exp()


def test_a_fresh_process_without_the_models_code_gives_the_same_bits(tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
    model = Unknown()
    with no_grad():
        graph = trace(model, [Tensor(x)]).graph
        expected = model(Tensor(x)).data.tobytes()
    path = tmp_path / "unknown.ttp"
    save_graph(graph, path)
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, check=False)
    assert done.stderr == b""
    assert done.stdout == expected


# ---------------------------------------------------------------- the file


def test_the_same_graph_gives_the_same_bytes_also_after_loading(tmp_path: Path) -> None:
    first, second = (as_bytes(forward_graph(small_cnn()), name="cnn") for _ in range(2))
    assert first == second
    assert as_bytes(load(first, tmp_path).graph, name="cnn") == first
    step = as_bytes(mlp_step())
    assert as_bytes(load(step, tmp_path).graph) == step


def test_the_numbers_of_values_do_not_matter() -> None:
    moved = Graph({9: ROW, 4: ROW}, (9,), {}, {}, [Call(Relu(), (9,), (4,))], (4,))
    assert as_bytes(moved) == as_bytes(relu_graph())


def test_name_and_notes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "named.ttp"
    notes = {"licence": "MIT", "author": 'A "B" \\ Größe'}
    save_graph(relu_graph(), path, name="A relu", notes=notes)
    found = load_artifact(path)
    assert (found.name, found.notes) == ("A relu", notes)
    other = tmp_path / "other.ttp"
    save_graph(relu_graph(), other, name="A relu", notes=dict(reversed(notes.items())))
    assert path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("two\nlines", {}),
        ("\x1b[2J", {}),
        ("x" * 1001, {}),
        ("", {"two words": ""}),
        ("", {"a": "\u202e"}),
        ("", {f"n{i}": "" for i in range(65)}),
    ],
)
def test_names_and_notes_are_lines_of_text(name: str, notes: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="line of text|notes"):
        save_graph(relu_graph(), tmp_path / "x", name=name, notes=notes)
    assert not list(tmp_path.iterdir())


def tensors_of_all_dtypes() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        dtype.name: np.asfortranarray(rng.uniform(0, 2, (3, 5)).astype(dtype))
        for dtype in (bool_, int8, int32, int64, float16, float32, float64)
    } | {"scalar": np.array(2.5), "empty": np.zeros((0, 3), np.float32), "strided": np.arange(20)[::-3]}


def test_the_safetensors_library_reads_the_tensors(tmp_path: Path) -> None:
    arrays = tensors_of_all_dtypes()
    tensors = {i: Tensor(a) for i, a in enumerate(arrays.values())}
    specs = {i: Spec(t.shape, t.dtype) for i, t in tensors.items()}
    graph = Graph(specs, (), tensors, {}, [], tuple(tensors), names=dict(enumerate(arrays)))
    path = tmp_path / "all.ttp"
    save_graph(graph, path)
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(arrays)
        for key, array in arrays.items():
            assert same(file.get_tensor(key), array), key
    loaded = load_graph(path)
    assert all(same(out, a) for out, a in zip(run(loaded), arrays.values(), strict=True))
    for tensor in loaded.states.values():
        tensor.assign_(tensor + tensor)  # it has memory of its own, which may be written


def test_what_is_the_same_tensor_is_stored_once_and_what_nobody_reads_not_at_all(tmp_path: Path) -> None:
    shared, unread = Tensor([1.0, 2.0, 3.0, 4.0]), Tensor([5.0] * 4)
    constant = np.zeros(4, np.float32)
    graph = Graph(
        dict.fromkeys(range(6), ROW),
        (0,),
        {1: shared, 2: shared, 3: unread},
        {4: constant, 5: constant},
        [],
        (0, 1, 2, 4, 5),
    )
    content = as_bytes(graph)
    assert len(taken_apart(content)[2]) == 2 * ROW.nbytes
    loaded = load(content, tmp_path).graph
    assert loaded.states[1] is loaded.states[2]
    assert len(loaded.states) == len(loaded.constants) == 2


def test_names_of_values_come_back_and_clashes_are_settled(tmp_path: Path) -> None:
    tensors = {i: Tensor([float(i)] * 4) for i in range(1, 5)}
    names = {0: "x", 1: "value.2", 2: "a b", 3: "fc.weight", 4: "fc.weight"}
    graph = Graph(dict.fromkeys(range(5), ROW), (0,), tensors, {}, [], tuple(range(5)), names=names)
    loaded = load(as_bytes(graph), tmp_path).graph
    assert loaded.names == {0: "x", 3: "fc.weight"}
    assert [out[0] for out in run(loaded, np.zeros(4, np.float32))] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("path", ["layer-1", "größe.x y", "a..b", "0x", ".", "a\n" * 400, 'f"{x}"'])
def test_module_paths_become_words(path: str, tmp_path: Path) -> None:
    graph = relu_graph(calls=[Call(Relu(), (0,), (1,), path=path)])
    found = load(as_bytes(graph), tmp_path).graph.calls[0].path
    assert found
    assert all(word.isidentifier() or word.isdecimal() for word in found.split("."))


class ThirdParty(Relu):
    """An op that is not TinyTorch's, however alike."""


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "program.ttp"
    save_graph(relu_graph(), path)
    before = path.read_bytes()
    with pytest.raises(ProgramError, match="ThirdParty"):
        save_graph(relu_graph(calls=[Call(ThirdParty(), (0,), (1,))]), path)
    assert path.read_bytes() == before
    with pytest.raises(ProgramError, match="cannot be written"):
        save_graph(relu_graph(), path / "inside")
    assert [p.name for p in tmp_path.iterdir()] == ["program.ttp"]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "\0"):
        with pytest.raises(ProgramError, match="no such file"):
            load_graph(path)


# ---------------------------------------------------------------- what is written about it

PAGE = (Path(__file__).parents[2] / "docs" / "program-format.md").read_text(encoding="utf-8")


def test_the_page_lists_the_ops_of_the_format() -> None:
    listed = PAGE.split("in lower case:")[1].split("##")[0]
    assert "".join(listed.split()).split(",") == sorted(OPS)


def test_the_example_of_the_page_is_a_document() -> None:
    shown = json.loads(PAGE.split("```json")[1].split("```")[0])
    graph = forward_graph(MLP((4, 3)))
    graph.names.update(zip(graph.states, ("layers.0.weight", "layers.0.bias"), strict=True))
    document, table, _ = taken_apart(as_bytes(graph, name="a layer"))
    assert document == shown
    for key, entry in table.items():
        assert f'"{key}": {json.dumps(entry)}' in PAGE


def test_the_page_gives_the_limits_that_hold() -> None:
    limits = Limits()
    assert (limits.memory, limits.flops, limits.header) == (2 * 2**30, 10**12, 4 * 2**20)
    assert "| `memory` | 2 GiB |" in PAGE
    assert "| `flops` | 10^12 |" in PAGE
    assert "| `header` | 4 MiB |" in PAGE
