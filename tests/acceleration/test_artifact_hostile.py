"""Program files from anybody: whatever the bytes, a program that can run or one ProgramError."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from tests.acceleration.artifact_files import (
    document_of,
    forward_graph,
    load,
    mlp_step,
    put_together,
    replaced,
    single,
    small_cnn,
    small_mlp,
    taken_apart,
    text_of,
    with_header,
)
from tinytorch import Tensor, concat, no_grad, softmax
from tinytorch.acceleration.artifact import Artifact, container
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.interpret import interpret
from tinytorch.acceleration.trace import trace
from tinytorch.errors import ProgramError, TinyTorchError
from tinytorch.models import GPT
from tinytorch.ops.spec import Spec, float32
from tinytorch.ops.update import ScaleAll
from tinytorch.random import Generator


def gpt_file() -> bytes:
    """Attention, layer norm, slices, an embedding and dropout, so randomness and an update."""
    model = GPT(vocab_size=7, context=4, width=4, layers=1, heads=2, dropout=0.1, generator=Generator(7))
    with no_grad():
        return as_bytes(trace(model, [model.example_input]).graph, name="gpt", notes={"by": "a test"})


def indexed_file() -> bytes:
    """Indices in a tensor, slices with steps, a pad, a cast, a softmax and reductions."""
    index, weight = Tensor(np.array([2, 0, 1])), Tensor(np.ones((2, 3), np.float32))

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        part = x.pad(((1, 0), (0, 2)), 0.5)[1:, ::-2]
        scores = softmax((part[index] @ weight.mT).to("float64"), 1)
        return scores.max(0), concat([part, part.clip(0.0, 0.4)], 1).argmax(1)

    with no_grad():
        return as_bytes(trace(function, [Tensor(np.ones((3, 4), np.float32))]).graph)


FILES = {
    "mlp": as_bytes(forward_graph(small_mlp())),
    "cnn": as_bytes(forward_graph(small_cnn())),
    "gpt": gpt_file(),
    "step": as_bytes(mlp_step()),
    "indexed": indexed_file(),
}
every_file = pytest.mark.parametrize("which", FILES)
fuzz = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(content: bytes, folder: Path) -> Artifact | None:
    """The program, which then runs and makes what its file declares; None where ProgramError refuses it.

    What is let through is in its one form: saved anew it is the same file.
    """
    try:
        artifact = load(content, folder)
    except ProgramError as error:
        text = str(error)
        assert text.startswith(str(folder))
        assert text.isprintable()
        assert len(text) < 1000
        return None
    graph = artifact.graph
    assert as_bytes(graph, name=artifact.name, notes=artifact.notes) == content
    inputs = [np.zeros(graph.specs[v].shape, graph.specs[v].dtype) for v in graph.inputs]
    try:
        with np.errstate(all="ignore"):
            outputs = interpret(graph, inputs)
    except TinyTorchError:
        return artifact
    assert [Spec(out.shape, out.dtype) for out in outputs] == [graph.specs[v] for v in graph.outputs]
    return artifact


@every_file
def test_the_files_are_sound(which: str, tmp_path: Path) -> None:
    content = FILES[which]
    assert attempt(content, tmp_path) is not None
    assert put_together(*taken_apart(content)) == content


# ---------------------------------------------------------------- bytes


@every_file
@fuzz
@given(data=st.data())
def test_changed_bytes(which: str, tmp_path: Path, data: st.DataObject) -> None:
    content = FILES[which]
    length = 8 + int.from_bytes(content[:8], "little")
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, length - 1))
        changed[at] ^= data.draw(st.integers(1, 255))
    attempt(bytes(changed), tmp_path)


@every_file
@fuzz
@given(data=st.data())
def test_bytes_cut_off_put_in_and_taken_out(which: str, tmp_path: Path, data: st.DataObject) -> None:
    content = FILES[which]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    more = data.draw(st.binary(max_size=16))
    changed = content[:start] + more + content[end:]
    if len(changed) != len(content):
        assert attempt(changed, tmp_path) is None
    else:
        attempt(changed, tmp_path)


@every_file
def test_every_length_but_the_right_one_is_refused(which: str, tmp_path: Path) -> None:
    content = FILES[which]
    header = 8 + int.from_bytes(content[:8], "little")
    for length in {*range(0, 64), *range(header - 9, header + 9), *range(len(content) - 9, len(content))}:
        assert attempt(content[:length], tmp_path) is None
    for more in (b"\0", b" ", content):
        assert attempt(content + more, tmp_path) is None
    for length, text in [(7, "7 bytes"), (header - 1, "not a whole"), (len(content) - 1, "cut off")]:
        with pytest.raises(ProgramError, match=text):
            load(content[:length], tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.ttp"
    path.write_bytes(bytes(100) + (50).to_bytes(8, "little") + bytes(20))
    with path.open("rb") as file:
        file.seek(100)
        with pytest.raises(ProgramError, match="changed while it was read"):
            container.read_header(file, 128, 1000)
        file.seek(120)
        with pytest.raises(ProgramError, match="changed while it was read"):
            container.read_tensors(file, container.places({"a": Spec((3,), float32)}))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
@example(b"")
@example(b"\xff" * 8)
@example((2**63).to_bytes(8, "little") + b"{}")
@example((2).to_bytes(8, "little") + b"{}")
@example((4).to_bytes(8, "little") + b"null")
@example(b"PK\x03\x04" + bytes(60))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    assert attempt(content, tmp_path) is None


@given(header=st.binary(max_size=100), text=st.text(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_and_any_document(tmp_path: Path, header: bytes, text: str) -> None:
    assert attempt(with_header(header, b""), tmp_path) is None
    assert (
        attempt(with_header(json.dumps({"__metadata__": {"program": text}}).encode(), b""), tmp_path) is None
    )


# ---------------------------------------------------------------- structure


VALUES: list[Any] = [
    *(0, 1, -1, 2, 3, 7, 255, 2**31, 2**40, 2**63, 2**64, 10**30, True, False, None, 0.5, 1.0, -0.0, 1e300),
    *(
        "",
        "nan",
        "inf",
        "...",
        "float32",
        "int64",
        "relu",
        "linear",
        "sgdupdate",
        "x\n",
        "\x1b[2J",
        "__class__",
    ),
    *("v1", "__metadata__", "../x", "ß", "a" * 300, [], {}, [0], [[]], [[0]], {"a": 1}, [0] * 40),
    *([None, None, -1], ["float32", [1], ""], ["float32", [2**40, 2**40], ""]),
]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything within a tree."""
    if isinstance(tree, dict):
        pairs = list(tree.items())
    elif isinstance(tree, list):
        pairs = list(enumerate(tree))
    else:
        return [path]
    return [path, *(p for key, inner in pairs for p in places(inner, (*path, key)))]


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def mutate(document: dict[str, Any], data: st.DataObject) -> None:
    """One change somewhere in a document, in place."""
    path = data.draw(st.sampled_from(places(document)[1:]))
    holder, key = at(document, path[:-1]), path[-1]
    how = data.draw(st.sampled_from(["replace", "nudge", "drop", "double", "swap", "copy"]))
    if how == "replace":
        holder[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    elif how == "nudge" and type(holder[key]) is int:
        holder[key] += data.draw(st.sampled_from([-1, 1, 2]))
    elif how == "drop":
        del holder[key]
    elif how == "double" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif how == "swap" and isinstance(holder, list):
        other = data.draw(st.integers(0, len(holder) - 1))
        holder[key], holder[other] = holder[other], holder[key]
    else:
        other = data.draw(st.sampled_from(places(document)[1:]))
        holder[key] = copy.deepcopy(at(document, other))


@every_file
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_documents(which: str, tmp_path: Path, data: st.DataObject) -> None:
    content = FILES[which]
    document, table, tensors = taken_apart(content)
    for _ in range(data.draw(st.integers(1, 2))):
        mutate(document, data)
    attempt(put_together(document, table, tensors), tmp_path)


@every_file
@fuzz
@given(data=st.data())
def test_changed_tables_of_tensors_are_all_refused(which: str, tmp_path: Path, data: st.DataObject) -> None:
    content = FILES[which]
    document, table, tensors = taken_apart(content)
    changed = copy.deepcopy(table)
    mutate(changed, data)
    same = text_of(changed) == text_of(table)
    assert (attempt(put_together(document, changed, tensors), tmp_path) is not None) == same


def test_tensors_in_another_order_overlapping_or_with_holes_are_refused(tmp_path: Path) -> None:
    document, table, tensors = taken_apart(FILES["mlp"])
    assert attempt(put_together(document, dict(reversed(table.items())), tensors), tmp_path) is None
    first, second = list(table)[:2]
    overlapping = copy.deepcopy(table)
    overlapping[second]["data_offsets"] = overlapping[first]["data_offsets"]
    assert attempt(put_together(document, overlapping, tensors), tmp_path) is None
    hole = copy.deepcopy(table)
    hole[list(table)[-1]]["data_offsets"] = [n + 4 for n in hole[list(table)[-1]]["data_offsets"]]
    assert attempt(put_together(document, hole, tensors + bytes(4)), tmp_path) is None
    extra = {
        **table,
        "smuggled": {"dtype": "U8", "shape": [4], "data_offsets": [len(tensors), len(tensors) + 4]},
    }
    assert attempt(put_together(document, extra, tensors + bytes(4)), tmp_path) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"format"', '{"version":1,"format"'),  # a key twice
        ('"op":"relu"', '"op":"tanh","op":"relu"'),
        ('"path":"layers.0"', '"path":"a","path":"layers.0"'),
        ('"version":1', '"version": 1'),
        ('"version":1', '"version":1.0'),
        ('"version":1', '"version":true'),
        ('"inputs":[0]', '"inputs":[-0]'),
        ('"inputs":[0]', '"inputs":[0e0]'),
        ('"op":"relu"', '"op":"rel\\u0075"'),
        ('"stateless":true', '"stateless":NaN'),
        ('"stateless":true', '"stateless":1'),
        ('"stateless":true', '"stateless":false'),
        ('"notes":{}', '"notes":{},"more":{}'),
        ('"notes":{}', '"notes":{"b":"","a":""}'),
        ('"updates":[]}', '"updates":[]} '),
        ('"updates":[]}', '"updates":[]}{}'),
        ('"updates":[]}', '"updates":[[1,1]]}'),  # a state that becomes itself is no stateless program
        ('"op":"relu"', '"op":"Relu"'),
        ('"op":"relu"', '"op":"os.system"'),
        ('"op":"relu"', '"op":"__init__"'),
        ('"backward":false', '"backward":0'),
        ('"path":"layers.0"', '"path":"a b"'),
        ('"path":"layers.0"', '"path":"__import__(\'os\')"'),
        ('"path":"layers.0"', '"path":".a"'),
        ('"path":"layers.0"', '"path":"a\\nb"'),
        ('["float32",[1,6],""]', '["float32",[1,6],"v3"]'),
        ('["float32",[1,6],""]', '["float32",[1,6]]'),
        ('["float32",[1,6],""]', '["float64",[1,6],""]'),
        ('["float32",[1,6],""]', '["float32",[2,6],""]'),
        ('["float32",[1,6],""]', '["float32",[1,-6],""]'),
    ],
)
def test_what_is_written_another_way_or_says_another_thing_is_refused(
    old: str, new: str, tmp_path: Path
) -> None:
    assert attempt(replaced(FILES["mlp"], old, new), tmp_path) is None


def test_each_refusal_says_what_is_wrong(tmp_path: Path) -> None:
    def refusal(change: Any, name: str = "mlp") -> str:
        document, table, tensors = taken_apart(FILES[name])
        change(document)
        with pytest.raises(ProgramError) as caught:
            load(put_together(document, table, tensors), tmp_path)
        return str(caught.value)

    assert "no op named 'evil'" in refusal(lambda d: d["calls"][2].update(op="evil"))
    assert "call 1 (linear): it reads a value before" in refusal(
        lambda d: d["calls"][1].update(inputs=[8, 1, 2])
    )
    assert "makes the values (9,)" in refusal(lambda d: d["calls"][1].update(outputs=[9]))
    assert "is declared float32[1, 4]" in refusal(
        lambda d: d["values"].__setitem__(6, ["float32", [1, 4], ""])
    )
    assert "nothing reads the state" in refusal(lambda d: d["calls"][1].update(op="matmul", inputs=[5, 1]))
    assert "not the first values" in refusal(lambda d: d["states"].reverse())
    assert "values that nothing makes" in refusal(lambda d: d["values"].append(["bool", [], ""]))
    assert "makes more values than there are" in refusal(lambda d: d["values"].pop())
    assert "have one name" in refusal(lambda d: d["values"][0].__setitem__(2, d["states"][0][1]))
    assert "not in order" in refusal(lambda d: d["updates"].reverse(), "step")
    assert "not there" in refusal(lambda d: d["outputs"].append(99))
    assert "one twice" in refusal(lambda d: d["updates"].insert(0, d["updates"][0]), "step")
    assert "another shape" in refusal(lambda d: d["updates"][0].__setitem__(1, 0), "step")
    assert "limit is" in refusal(lambda d: d["values"].__setitem__(0, ["float32", [2**30], ""]))
    assert "axes; at most 32" in refusal(lambda d: d["values"].__setitem__(0, ["bool", [1] * 33, ""]))
    assert "two things at once" in refusal(lambda d: d["states"][1].__setitem__(1, d["states"][0][1]))
    assert "tensor '__metadata__' is that of" in refusal(
        lambda d: d["states"][0].__setitem__(1, "__metadata__")
    )
    assert "not a module path" in refusal(lambda d: d["calls"][0].update(path="a b"))


def test_a_changed_input_is_what_the_op_says_it_becomes(tmp_path: Path) -> None:
    document, table, tensors = taken_apart(FILES["step"])
    step = document["calls"][-1]
    assert step["op"] == "sgdupdate"
    for change in ({"outputs": step["writes"][1:2]}, {"writes": step["writes"][:-1]}, {"writes": []}):
        broken = copy.deepcopy(document)
        broken["calls"][-1] |= change
        assert attempt(put_together(broken, table, tensors), tmp_path) is None
    document = document_of(single(ScaleAll(2), [Spec((), float32)] * 3))
    assert document["calls"][0]["writes"] == [3, 4]
    assert attempt(put_together(document, {}, b""), tmp_path) is not None
    document["calls"][0]["writes"].reverse()
    with pytest.raises(ProgramError, match="what its first changed input becomes"):
        load(put_together(document, {}, b""), tmp_path)


def test_a_bool_is_one_or_zero(tmp_path: Path) -> None:
    mask = Tensor(np.array([True, False]))
    content = as_bytes(trace(lambda x: x & mask, [mask.clone()]).graph)
    assert attempt(content, tmp_path) is not None
    with pytest.raises(ProgramError, match="a bool is 0 or 1, not 2"):
        load(content[:-1] + b"\2", tmp_path)


def test_indices_in_tensors_are_in_range(tmp_path: Path) -> None:
    content = FILES["indexed"]
    index = np.array([2, 0, 1])
    assert content.count(index.tobytes()) == 1
    for worst in (3, -4, 2**62):
        with pytest.raises(ProgramError, match="indices from"):
            load(content.replace(index.tobytes(), np.array([worst, 0, 1]).tobytes()), tmp_path)


@every_file
def test_the_safetensors_library_reads_what_is_let_through(which: str, tmp_path: Path) -> None:
    content = FILES[which]
    artifact = load(content, tmp_path)
    with safe_open(tmp_path / "program.ttp", framework="numpy") as file:
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    held = [*(t.data for t in artifact.graph.states.values()), *artifact.graph.constants.values()]
    assert sorted(a.tobytes() for a in stored.values()) == sorted(a.tobytes() for a in held)
