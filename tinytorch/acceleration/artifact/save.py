"""Writing a program: its graph, checked as it will be when it is loaded, and its tensors as they are now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tinytorch.acceleration.artifact.codings import Layout
from tinytorch.acceleration.artifact.compact import coded_part, written
from tinytorch.acceleration.artifact.container import pieces_of
from tinytorch.acceleration.artifact.document import Contents, contents_of, decode, encode
from tinytorch.acceleration.artifact.validate import check_document, check_values
from tinytorch.acceleration.graph import Graph
from tinytorch.errors import CheckpointError, ProgramError
from tinytorch.ops.spec import Array, Spec
from tinytorch.training.files import write_whole


def save_graph(
    graph: Graph,
    path: str | Path,
    *,
    name: str = "",
    notes: Mapping[str, str] | None = None,
    compact: bool = False,
) -> None:
    """Write a graph with its weights as a program file, whole or not at all; see docs/program-format.md.

    States are stored with the values that they have now. The same graph gives the same bytes. `name` and the
    values of `notes` are one line of text each, the keys of `notes` words. `compact`: entropy-coded, as small
    as can be; such a file is read as the other is. Raises ProgramError for an op that is not one of
    TinyTorch's, for states whose memory overlaps while one is updated, and for a file that cannot be written.

    >>> import tempfile
    >>> from tinytorch.acceleration.artifact.load import load_graph
    >>> from tinytorch.acceleration.graph import Call
    >>> from tinytorch.ops.elementwise import Relu
    >>> from tinytorch.ops.spec import Array, Spec, float32
    >>> row = Spec((4,), float32)
    >>> graph = Graph({0: row, 1: row}, (0,), {}, {}, [Call(Relu(), (0,), (1,))], (1,))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_graph(graph, f"{folder}/relu.ttp")
    ...     load_graph(f"{folder}/relu.ttp")
    graph(v0: float32[4])
      v1: float32[4] = relu(v0)
      return v1
    """
    try:
        write_whole(path, _pieces(graph, name, notes, compact))
    except CheckpointError as error:
        raise ProgramError(str(error)) from error


def as_bytes(
    graph: Graph, *, name: str = "", notes: Mapping[str, str] | None = None, compact: bool = False
) -> bytes:
    """What `save_graph` writes: the same bytes for the same graph; raises ProgramError."""
    return b"".join(_pieces(graph, name, notes, compact))


def _pieces(graph: Graph, name: str, notes: Mapping[str, str] | None, compact: bool) -> Iterator[bytes]:
    """The bytes of a file, piece by piece, once all is checked."""
    _check_overlaps(graph)
    contents = contents_of(graph, name, notes)
    text = encode(contents.document)
    try:
        _check(contents, text)
    except ProgramError as error:
        raise ProgramError(f"this graph cannot be saved: {error}") from None
    pieces = pieces_of(text, contents.tensors)
    if compact:
        return written((content, layout_of(spec)) for spec, content in pieces)
    return (content for _, content in pieces)


def layout_of(spec: Spec) -> Layout:
    """Bytes of a tensor's elements, and how many of them are in a row: all axes but the first make one.

    >>> from tinytorch.ops.spec import int8
    >>> layout_of(Spec((32, 16, 3, 3), int8))
    Layout(planes=1, width=144, lag=0)
    """
    return Layout(spec.dtype.itemsize, math.prod(spec.shape[1:]) if len(spec.shape) > 1 else 0)


def coded_bytes(array: Array) -> int:
    """Bytes that an array takes in a compact file, its line in the index left out.

    >>> coded_bytes(np.zeros((100, 100), np.float32))
    8
    """
    planes, width, _ = layout_of(Spec(array.shape, array.dtype))
    return len(coded_part(array.tobytes(), planes, width)[1]) if array.size else 0


def _check(contents: Contents, text: bytes) -> None:
    """Check a program as loading it does, but for its size."""
    checked = check_document(decode(text))
    for key, array in contents.tensors.items():
        spec = checked.tensors[key]
        if (array.shape, array.dtype) != (spec.shape, spec.dtype):
            raise ProgramError(
                f"tensor {key} is {array.dtype}{list(array.shape)} now; the graph was made for {spec}"
            )
    held = (*contents.document.states, *contents.document.constants)
    check_values(checked.calls, checked.specs, {value: contents.tensors[key] for value, key in held})


def _check_overlaps(graph: Graph) -> None:
    """Refuse states in shared memory of which one is updated: in a file each has memory of its own."""
    if not graph.updates:
        return
    tensors = {id(t): t for t in graph.states.values() if t._array.size}
    updated = {id(graph.states[state]) for state in graph.updates if state in graph.states}
    bounds = sorted((*np.lib.array_utils.byte_bounds(t._array), key in updated) for key, t in tensors.items())
    reach, changes = 0, False  # of the tensors that overlap, one with the next
    for begin, end, changed in bounds:
        if begin < reach and (changes or changed):
            raise ProgramError(
                "this graph cannot be saved: it updates a state whose memory another state looks at. "
                "Give each a copy with clone()."
            )
        changes = changed or (begin < reach and changes)
        reach = max(reach, end)
