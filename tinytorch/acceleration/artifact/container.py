"""The safetensors file around a program: a header that says where tensors lie, and their bytes.

Any reader of safetensors files reads these. They are written and read here, since the library takes files
that say a thing twice, and a program has one form only: its header follows from its document, byte by byte.
Format: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from tinytorch.acceleration.artifact.document import one_line
from tinytorch.errors import ProgramError
from tinytorch.ops.spec import Array, Spec, int8

_DTYPES = {
    "bool": "BOOL",
    "int8": "I8",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
LENGTH = 8
"""Bytes of the number in front of the header."""


class Place(NamedTuple):
    """A tensor and its bytes, counted from the end of the header."""

    spec: Spec
    begin: int
    end: int


class Readable(Protocol):
    """A file, or bytes in memory, that is read into arrays."""

    def read(self, size: int, /) -> bytes: ...

    def readinto(self, buffer: memoryview, /) -> int: ...


class _Metadata(msgspec.Struct):
    program: str


class _Header(msgspec.Struct):
    metadata: _Metadata = msgspec.field(name="__metadata__")


def places(tensors: Mapping[str, Spec]) -> dict[str, Place]:
    """Where tensors lie: one after the other, those of wide elements first, so that each is aligned.

    >>> from tinytorch.ops.spec import float32, int8
    >>> places({"a": Spec((3,), int8), "b": Spec((2,), float32)})["a"]
    Place(spec=int8[3], begin=8, end=11)
    """
    found, end = {}, 0
    for key, spec in sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize):
        found[key] = Place(spec, end, end + spec.nbytes)
        end += spec.nbytes
    return found


def header_of(document: bytes, tensors: Mapping[str, Place]) -> bytes:
    """The header of a file, filled up with spaces to a multiple of 8 bytes."""
    entries: dict[str, object] = {"__metadata__": {"program": document.decode()}}
    for key, (spec, begin, end) in tensors.items():
        entries[key] = {
            "dtype": _DTYPES[spec.dtype.name],
            "shape": list(spec.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def pieces_of(document: bytes, tensors: Mapping[str, Array]) -> Iterator[tuple[Spec, bytes]]:
    """The file of a program: its header with its length, as if that were a row of codes, then each tensor."""
    laid = places({key: Spec(array.shape, array.dtype) for key, array in tensors.items()})
    header = header_of(document, laid)
    yield Spec((LENGTH + len(header),), int8), len(header).to_bytes(LENGTH, "little") + header
    for key, place in laid.items():
        yield place.spec, _little(np.ascontiguousarray(tensors[key])).tobytes()


def _little(array: Array) -> Array:
    return array.byteswap() if sys.byteorder == "big" else array


# ---------------------------------------------------------------- reading


def read_header(file: Readable, size: int, most: int) -> bytes:
    """The header of a file of `size` bytes; raises ProgramError if it is over `most` bytes or that size."""
    start = file.read(LENGTH)
    length = int.from_bytes(start, "little")
    if len(start) < LENGTH or length > size - LENGTH:
        raise ProgramError(
            f"not a whole safetensors file: {size:,} bytes, of which the header alone is {length:,}"
        )
    if length > most:
        raise ProgramError(f"a header of {length:,} bytes; at most {most:,}. Is it a program?")
    header = file.read(length)
    if len(header) < length:
        raise ProgramError("it changed while it was read")
    return header


def document_in(header: bytes) -> bytes:
    """The document in the metadata of a header; raises ProgramError where there is none."""
    try:
        return msgspec.json.decode(header, type=_Header).metadata.program.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProgramError(f"not a program: {one_line(error)}") from None


def check_header(header: bytes, document: bytes, tensors: Mapping[str, Place], size: int) -> None:
    """Refuse a header other than that of this document, and a file with more or fewer bytes than it has."""
    expected = header_of(document, tensors)
    if header != expected:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(header, expected, strict=False))
        at = sum(1 for _ in same)
        raise ProgramError(
            f"its table of tensors is not that of its program: at byte {LENGTH + at:,} it says "
            f"{header[at : at + 24]!r}, not {expected[at : at + 24]!r}"
        )
    whole = LENGTH + len(header) + max((place.end for place in tensors.values()), default=0)
    if size < whole:
        raise ProgramError(f"it is cut off: {size:,} of {whole:,} bytes")
    if size > whole:
        raise ProgramError(f"{size - whole:,} bytes follow the last tensor; nothing may")


def read_tensors(file: Readable, tensors: Mapping[str, Place]) -> dict[str, Array]:
    """The tensors after the header, in memory of their own; raises ProgramError for bools above 1."""
    found = {}
    for key, (spec, _, _) in tensors.items():
        array: Array = np.empty(spec.shape, spec.dtype)
        content = array.reshape(-1).view(np.uint8)
        if file.readinto(content.data) != content.size:
            raise ProgramError("it changed while it was read")
        if spec.dtype.kind == "b" and content.size and content.max() > 1:
            raise ProgramError(f"tensor {key}: a bool is 0 or 1, not {content.max()}")
        found[key] = _little(array)
    return found
