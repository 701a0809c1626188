"""A graph as a JSON document: values numbered in the order in which they come to be, in one form only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, cast

import msgspec

from tinytorch.acceleration.artifact.fields import encode_fields
from tinytorch.acceleration.artifact.registry import name_of, version_of
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.errors import ProgramError
from tinytorch.ops.meta import NoData
from tinytorch.ops.random import Uniform
from tinytorch.ops.spec import Array, Spec
from tinytorch.tensor import Tensor

FORMAT, VERSION = "tinytorch-program", 4
MOST_LETTERS = 256
"""Of a name or module path."""

DTypeName: TypeAlias = Literal["bool", "int8", "int32", "int64", "float16", "float32", "float64"]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
"""Of a value: its place in `Document.values`."""
Numbers: TypeAlias = tuple[Number, ...]


class Value(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Shape, dtype and name of a value, or "" for a value without one."""

    dtype: DTypeName
    shape: tuple[Size, ...]
    name: str


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One call: see `tinytorch.acceleration.graph.Call`."""

    op: str
    fields: msgspec.Raw
    inputs: Numbers
    outputs: Numbers
    writes: Numbers
    path: str
    backward: bool


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program without its tensors; `states` and `constants` say which of them a value is."""

    format: str
    version: int
    name: str
    notes: dict[str, str]
    stateless: bool
    values: tuple[Value, ...]
    inputs: Numbers
    states: tuple[tuple[Number, str], ...]
    constants: tuple[tuple[Number, str], ...]
    calls: tuple[Step, ...]
    outputs: Numbers
    updates: tuple[tuple[Number, Number], ...]


class _Head(msgspec.Struct):
    """What a document of any version says of itself."""

    format: str = ""
    version: int = 0


def encode(document: Document) -> bytes:
    """The document as JSON: the same bytes for the same document."""
    return msgspec.json.encode(document)


def decode(text: bytes) -> Document:
    """The document in JSON that `encode` wrote; raises ProgramError for anything else.

    A document has one form: keys in order, each once, no spaces, no other way to write a number. So a file
    can be known by a hash of its bytes.
    """
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            raise ProgramError(
                "not a program: its metadata is of another kind. Save a graph with save_graph."
            )
        if head.version > VERSION:
            raise ProgramError(
                f"made by a newer TinyTorch: format {head.version}, this one reads {VERSION}. Update it."
            )
        if head.version < 1:
            raise ProgramError(f"format {head.version} does not exist")
        document = msgspec.json.decode(text, type=Document)
        canonical = encode(document) == text
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProgramError(f"not a whole program: {one_line(error)}") from None
    if not canonical:
        raise ProgramError("damaged: its JSON is not in the one form in which programs are saved")
    return document


def is_stateless(graph: Graph) -> bool:
    """Whether every run gives the same for the same inputs: nothing is updated, and nothing random is drawn.

    >>> is_stateless(Graph({}, (), {}, {}, [], ()))
    True
    """
    return not graph.updates and not any(isinstance(call.op, Uniform) for call in graph.calls)


# ---------------------------------------------------------------- words


_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+)(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+))*")
_UNNAMED = re.compile(r"v[0-9]+|value\.[0-9]+")


def one_line(error: Exception) -> str:
    """The text of an error about a file, without what could move a terminal's cursor."""
    text = " ".join(str(error)[:400].split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def is_path(text: str) -> bool:
    """Whether a text is a module path: words and numbers with dots between, as `blocks.0.attn`, or empty."""
    return not text or (len(text) <= MOST_LETTERS and _NAME.fullmatch(text) is not None)


def is_name(text: str) -> bool:
    """Whether a text can name a value or tensor: a path, but not one that stands for "value number 7"."""
    return bool(text) and is_path(text) and text != "__metadata__" and not _UNNAMED.fullmatch(text)


def key_of(name: str, number: int) -> str:
    """What a tensor goes by in the file, after the first value that it is."""
    return name or f"value.{number}"


def _as_path(path: str) -> str:
    """A module path with what is no word or number made one, for modules with names such as `layer-1`."""
    if is_path(path):
        return path
    words = (re.sub(r"[^A-Za-z0-9_]", "_", word) or "_" for word in path.split("."))
    joined = ".".join(word if is_path(word) else f"_{word}" for word in words)
    return joined[:MOST_LETTERS].rstrip(".")


# ---------------------------------------------------------------- from a graph


@dataclass(frozen=True)
class Contents:
    """What goes into a file: the document, and the tensors that it names."""

    document: Document
    tensors: dict[str, Array]


def contents_of(graph: Graph, name: str = "", notes: Mapping[str, str] | None = None) -> Contents:
    """A graph as a document and its tensors; values are numbered as they come: given ones, then made ones.

    States and constants that nothing reads are left out. Raises ProgramError for an op that is not on the
    list, and for a graph that is not one.
    """
    numbers = _numbered(graph)
    tensors: dict[str, Array] = {}
    keys: dict[int, str] = {}  # by the identity of a tensor or array: what is the same is stored once
    names = _names(graph, numbers)

    def stored(held: Mapping[int, Tensor] | Mapping[int, Array]) -> tuple[tuple[int, str], ...]:
        found = []
        for value, tensor in held.items():
            if value not in numbers:
                continue
            if id(tensor) not in keys:
                key = key_of(names[value], numbers[value])
                keys[id(tensor)] = key
                tensors[key] = _array(tensor)
            found.append((numbers[value], keys[id(tensor)]))
        return tuple(found)

    document = Document(
        format=FORMAT,
        version=version_of(name_of(call.op) for call in graph.calls),
        name=name,
        notes=dict(sorted((notes or {}).items())),
        stateless=is_stateless(graph),
        values=tuple(_value(graph.specs[v], names[v]) for v in numbers),
        inputs=_renumbered(graph, numbers, graph.inputs),
        states=stored(graph.states),
        constants=stored(graph.constants),
        calls=tuple(_step(graph, numbers, call) for call in graph.calls),
        outputs=_renumbered(graph, numbers, graph.outputs),
        updates=tuple(sorted((numbers[s], numbers[v]) for s, v in graph.updates.items())),
    )
    return Contents(document, tensors)


def _numbered(graph: Graph) -> dict[int, int]:
    """The new number of each value, in the order of the new numbers."""
    read = {v for call in graph.calls for v in call.inputs} | graph.results() | set(graph.updates)
    given = [v for v in (*graph.states, *graph.constants) if v in read]
    numbers: dict[int, int] = {}
    _number(graph, numbers, [*graph.inputs, *given], "the graph is given")
    for at, call in enumerate(graph.calls):
        missing = [v for v in call.inputs if v not in numbers]
        if missing:
            raise ProgramError(f"call {at} ({call.op.name}) reads {graph.name(missing[0])} before it is made")
        _number(graph, numbers, call.made, f"call {at} ({call.op.name}) makes")
    missing = [v for v in (*graph.outputs, *graph.updates, *graph.updates.values()) if v not in numbers]
    if missing:
        raise ProgramError(f"the graph returns {graph.name(missing[0])}, which nothing makes")
    return numbers


def _number(graph: Graph, numbers: dict[int, int], values: Iterable[int], what: str) -> None:
    for value in values:
        if value in numbers:
            raise ProgramError(f"{what} {graph.name(value)} a second time")
        if value not in graph.specs:
            raise ProgramError(f"{what} {graph.name(value)}, which has no shape and dtype")
        numbers[value] = len(numbers)


def _renumbered(graph: Graph, numbers: Mapping[int, int], values: Iterable[int]) -> tuple[int, ...]:
    return tuple(numbers[v] for v in values)


def _names(graph: Graph, numbers: Mapping[int, int]) -> dict[int, str]:
    """Names that a file can hold, each once."""
    seen: set[str] = set()
    found = {}
    for value in numbers:
        name = graph.names.get(value, "")
        found[value] = name if is_name(name) and name not in seen else ""
        seen.add(name)
    return found


def _value(spec: Spec, name: str) -> Value:
    return Value(cast(DTypeName, spec.dtype.name), spec.shape, name)


def _step(graph: Graph, numbers: Mapping[int, int], call: Call) -> Step:
    return Step(
        op=name_of(call.op),
        fields=msgspec.Raw(encode_fields(call.op)),
        inputs=_renumbered(graph, numbers, call.inputs),
        outputs=_renumbered(graph, numbers, call.outputs),
        writes=_renumbered(graph, numbers, call.writes),
        path=_as_path(call.path),
        backward=call.backward,
    )


def _array(tensor: Tensor | Array) -> Array:
    array = tensor._array if isinstance(tensor, Tensor) else tensor
    if isinstance(array, NoData):
        raise ProgramError("a tensor made under meta() has no values to save. Make the model outside of it.")
    return array
