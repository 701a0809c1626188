"""Program files for tests: taken apart into document, header and tensors, and put together again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch import Tensor, no_grad
from tinytorch.acceleration.artifact import Artifact, Limits, load_artifact
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.trace import trace
from tinytorch.models import CNN, MLP
from tinytorch.nn import CrossEntropyLoss
from tinytorch.nn.module import Module
from tinytorch.ops.base import Op
from tinytorch.ops.elementwise import Relu
from tinytorch.ops.spec import Spec, float32
from tinytorch.optim import SGD
from tinytorch.random import Generator

Array = np.ndarray[Any, Any]
ROW = Spec((4,), float32)


def forward_graph(model: Module) -> Graph:
    with no_grad():
        return trace(model, [model.example_input]).graph


def small_mlp() -> MLP:
    return MLP((6, 5, 3), generator=Generator(1))


def small_cnn() -> CNN:
    return CNN(image_size=8, generator=Generator(2))


def step_graph(model: Module, optimizer: Any, *batch: Tensor) -> Graph:
    """A training step, traced after an eager one."""
    loss = CrossEntropyLoss()

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        out = model(x)
        value = loss(out.reshape(-1, out.shape[-1]), y.reshape(-1))
        value.backward()
        optimizer.step()
        return value

    step(*batch)
    return trace(step, batch).graph


def mlp_step() -> Graph:
    model = small_mlp()
    batch = Generator(3).rand(4, 6), Tensor(np.array([0, 1, 2, 1]))
    return step_graph(model, SGD(model.parameters(), lr=0.1, momentum=0.5), *batch)


def single(op: Op, specs: list[Spec], constants: dict[int, Array] | None = None) -> Graph:
    """One op on inputs of these specs, or on constants at these places; its outputs declared as it infers."""
    constants = constants or {}
    found = op.infer(*specs)
    outs = found if isinstance(found, tuple) else (found,)
    n, changed = len(specs), [specs[i] for i in op.mutates]
    writes = tuple(range(n, n + len(changed)))
    gives_back = bool(changed) and op.name != "uniform"
    outputs = writes[:1] if gives_back else tuple(range(n + len(writes), n + len(writes) + len(outs)))
    all_specs = [*specs, *changed, *(() if gives_back else outs)]
    inputs = tuple(i for i in range(n) if i not in constants)
    call = Call(op, tuple(range(n)), outputs, writes)
    return Graph(dict(enumerate(all_specs)), inputs, {}, constants, [call], (*outputs, *writes))


def relu_graph(**changes: Any) -> Graph:
    parts: dict[str, Any] = {
        "specs": {0: ROW, 1: ROW},
        "inputs": (0,),
        "states": {},
        "constants": {},
        "calls": [Call(Relu(), (0,), (1,))],
        "outputs": (1,),
    }
    return Graph(**parts | changes)


# ---------------------------------------------------------------- files


def load(content: bytes, folder: Path, limits: Limits | None = None) -> Artifact:
    path = folder / "program.ttp"
    path.write_bytes(content)
    return load_artifact(path, limits=limits)


def taken_apart(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The document, the rest of the header, and the tensors' bytes."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return json.loads(header.pop("__metadata__")["program"]), header, content[8 + length :]


def text_of(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def with_header(header: bytes, data: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def put_together(document: Any, table: dict[str, Any], data: bytes) -> bytes:
    """A file of a document (a dict, or JSON as text), a table of tensors, and their bytes."""
    text = document if isinstance(document, str) else text_of(document)
    return with_header(text_of({"__metadata__": {"program": text}, **table}).encode(), data)


def document_of(graph: Graph) -> dict[str, Any]:
    return taken_apart(as_bytes(graph))[0]


def replaced(content: bytes, old: str, new: str) -> bytes:
    """A file with the first `old` in its document replaced."""
    document, table, data = taken_apart(content)
    text = text_of(document)
    assert old in text
    return put_together(text.replace(old, new, 1), table, data)
