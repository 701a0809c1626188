"""Reading a program that anybody may have written: nothing of it is used before all of it is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tinytorch.acceleration.artifact import compact, container
from tinytorch.acceleration.artifact.document import Document, decode, is_stateless
from tinytorch.acceleration.artifact.validate import Checked, Limits, check_document, check_values
from tinytorch.acceleration.graph import Graph
from tinytorch.errors import ProgramError
from tinytorch.ops.spec import Array
from tinytorch.tensor import from_numpy


@dataclass(frozen=True)
class Artifact:
    """A program out of a file: its graph, and what the file says of it."""

    graph: Graph
    name: str
    notes: Mapping[str, str]

    @property
    def stateless(self) -> bool:
        """Whether every run gives the same for the same inputs: see `is_stateless`."""
        return is_stateless(self.graph)


def load_graph(path: str | Path, *, limits: Limits | None = None) -> Graph:
    """The graph in a file of `save_graph`, its states as tensors of their own; see `load_artifact`."""
    return load_artifact(path, limits=limits).graph


def load_artifact(path: str | Path, *, limits: Limits | None = None) -> Artifact:
    """The program in a file of `save_graph`; needs no code of the model, and runs none from the file.

    Everything in the file is checked first. Raises ProgramError, in one line, for a file that is missing,
    damaged, made by a newer version or larger than `limits` allow (by default `Limits()`), and for a program
    that could not run: unknown ops, values read before they are made, shapes that do not fit.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ProgramError("there is no such file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _read(file, size, limits or Limits())
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ProgramError as error:
        raise ProgramError(f"{path}: {error}") from None


def _read(file: BinaryIO, size: int, limits: Limits) -> Artifact:
    if compact.is_compact(file.read(len(compact.MAGIC))):
        most = limits.memory + limits.header
        if size > most:
            raise ProgramError(f"a compact file of {size:,} bytes; at most {most:,}")
        program = compact.Unpacking(file, size, most)
        header = program.index.parts[0].size
        if header > limits.header + container.LENGTH:
            raise ProgramError(f"a header of {header:,} bytes; at most {limits.header:,}. Is it a program?")
        return _read_program(program, program.size, limits)
    file.seek(0)
    return _read_program(file, size, limits)  # type: ignore[arg-type]


def _read_program(file: container.Readable, size: int, limits: Limits) -> Artifact:
    header = container.read_header(file, size, limits.header)
    text = container.document_in(header)
    document = decode(text)
    checked = check_document(document, limits)
    places = container.places(checked.tensors)
    container.check_header(header, text, places, size)
    tensors = container.read_tensors(file, places)
    held = (*document.states, *document.constants)
    check_values(checked.calls, checked.specs, {value: tensors[key] for value, key in held})
    return Artifact(_graph(document, checked, tensors), document.name, document.notes)


def _graph(document: Document, checked: Checked, tensors: Mapping[str, Array]) -> Graph:
    states = {key: from_numpy(tensors[key]) for _, key in document.states}  # one tensor for each key
    return Graph(
        specs=dict(enumerate(checked.specs)),
        inputs=document.inputs,
        states={value: states[key] for value, key in document.states},
        constants={value: tensors[key] for value, key in document.constants},
        calls=checked.calls,
        outputs=document.outputs,
        updates=dict(document.updates),
        names={number: value.name for number, value in enumerate(document.values) if value.name},
    )
