"""Programs and files that an attacker would make, and the way in that they take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.acceleration.artifact import compact
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.benchmarking.boxes import RefusedError, boxes
from tinytorch.benchmarking.entry import Entry, described
from tinytorch.benchmarking.events import baseline_graph, baseline_model, event
from tinytorch.benchmarking.measure import Measurement, plan_for
from tinytorch.benchmarking.samples import plain
from tinytorch.nn.module import Module
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, from_numpy, zeros

EVENT = event("mlp_sprint")


def traced(function: Callable[[Tensor], Any], x: Tensor | None = None) -> Graph:
    """A function of an image as a program."""
    with no_grad():
        return trace(function, (zeros(*EVENT.inputs.shape) if x is None else x,)).graph


def entry_of(program: Graph | bytes, **says: Any) -> Entry:
    """An open entry of MLP Sprint."""
    content = program if isinstance(program, bytes) else as_bytes(program)
    return Entry(described({"event": EVENT.name, "team": "a team", **says}), content)


def tried(entry: Entry, steps: tuple[str, ...] = ("check",)) -> Measurement:
    """Take the first steps of a measurement, in real boxes; `reasons` says what came of it."""
    with boxes() as box:
        found = Measurement(entry, plan_for(EVENT, quick=True), box, None, 5)
        try:
            for step in steps:
                getattr(found, step)()
        except RefusedError as error:
            found.reasons.append(str(error))
        return found


def refused(entry: Entry, steps: tuple[str, ...] = ("check",)) -> str:
    """Why an entry is invalid, after the first steps of a measurement; fails where it is not."""
    found = tried(entry, steps)
    assert found.reasons, "it is valid"
    assert not found.result().valid
    return "; ".join(found.reasons)


# ---------------------------------------------------------------- programs


def baseline_with(change: Callable[[Tensor], Any]) -> Graph:
    """The baseline, with something done to its logits."""
    model = baseline_model(EVENT)
    return traced(lambda x: change(model(x)))


def renamed_copy(graph: Graph) -> Graph:
    """A copy that differs in the names of values alone: another file, the same program."""
    return replace(graph, names={v: f"mine.v_{v}" for v in (*graph.states, *graph.constants)})


class Table(Module):
    """Each image of the test data by a whole number, with its label; a constant answer for all others."""

    def __init__(self, count: int = 2000) -> None:
        super().__init__()
        known = plain(EVENT, count)
        rng = np.random.default_rng(0)
        self.weights = from_numpy(rng.integers(1, 60, (784, 1)).astype(np.float32))
        with no_grad():
            self.values = from_numpy(self.number(from_numpy(known.inputs)).numpy().reshape(1, -1))
        self.answers = from_numpy(np.eye(10, dtype=np.float32)[known.labels])

    def number(self, x: Tensor) -> Tensor:
        """A number for each image: sums of whole numbers below 2**24 are exact in any order."""
        whole = (x.reshape(-1, 784) * 255.0 + 0.5).to("int64").to("float32")
        return whole @ self.weights

    def forward(self, x: Tensor) -> Tensor:
        return (self.number(x) == self.values).to("float32") @ self.answers


def remembering() -> Graph:
    """A program that answers with what it was asked before."""
    model, last = baseline_model(EVENT), zeros(1, 10)

    def run(x: Tensor) -> Tensor:
        answer = last + 0.0
        last.assign_(model(x))
        return answer

    return traced(run)


def drawing() -> Graph:
    """A program whose answers are drawn."""
    generator = Generator(3)
    return baseline_with(lambda logits: logits + generator.rand(1, 10))


def products(size: int, count: int, on_input: bool) -> Graph:
    """The baseline, and a chain of `count` products of size x size that changes nothing."""
    model = baseline_model(EVENT)
    square = from_numpy(np.full((size, size), 1 / size, np.float32))

    def run(x: Tensor) -> Tensor:
        held = square
        for _ in range(count):
            held = held @ square
        row = x.reshape(1, 784)[:, :1] * 0.0 if on_input else zeros(1, 1)
        if on_input:
            wide = row + zeros(size, size)
            for _ in range(count):
                wide = wide @ square
            row = wide[:1, :1]
        return model(x) + row * 0.0 + held[:1, :1] * 0.0

    return traced(run)


# ---------------------------------------------------------------- files


def whole_file() -> bytes:
    """The baseline's program file."""
    return as_bytes(baseline_graph(EVENT.name))


def header_of(content: bytes) -> dict[str, Any]:
    """The header of a program file."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, Any] = json.loads(content[8 : 8 + length])
    return found


def with_header(content: bytes, text: str) -> bytes:
    """The file with other text as its header."""
    length = int.from_bytes(content[:8], "little")
    raw = text.encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw + content[8 + length :]


def with_document(content: bytes, change: Callable[[str], str]) -> bytes:
    """The file with another document, and a header that says so."""
    header = header_of(content)
    header["__metadata__"]["program"] = change(header["__metadata__"]["program"])
    return with_header(content, json.dumps(header, separators=(",", ":")))


def compact_file(sizes: list[tuple[str, int, bytes]]) -> bytes:
    """A compact file with these parts, each with its coding, the size that it says, and its content."""
    parts = tuple(compact.Part(coding, size, len(content), 1, 0, 0) for coding, size, content in sizes)  # type: ignore[arg-type]
    index = compact.index_of(compact.Index(compact.VERSION, parts))
    length = len(index).to_bytes(8, "little")
    digest = hashlib.sha256(length + index + b"".join(content for _, _, content in sizes)).digest()
    return compact.MAGIC + length + digest + index + b"".join(content for _, _, content in sizes)


def on_disk(folder: Path, content: bytes) -> Path:
    """A file with this content."""
    path = folder / "program.ttc"
    path.write_bytes(content)
    return path
