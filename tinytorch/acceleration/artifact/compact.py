"""Compact files: a program file whose parts are entropy-coded, each in the way that makes it smallest.

What is decoded is the program file itself, byte by byte, and goes through all its checks. Before that nothing
is allocated that the file merely asks for: sizes are compared with the limits, and no decoder gives more than
its part has. Parts are coded, and decoded, one after the other. docs/program-format.md describes the form.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple, TypeAlias

import msgspec
import numpy as np

from tinytorch.acceleration.artifact import ways
from tinytorch.acceleration.artifact.codings import Content, Layout
from tinytorch.acceleration.artifact.document import one_line
from tinytorch.acceleration.artifact.range_coder import MOST_WIDTH, expect
from tinytorch.acceleration.artifact.ways import CODINGS, FIRST, Coding
from tinytorch.errors import ProgramError

MAGIC = b"\x89TTC\r\n\x1a\n"
"""The first bytes: none that text or a safetensors file of any size begins with."""
VERSION = 2
MOST_PARTS, MOST_INDEX, MOST_HEADER = 2**16, 4 * 2**20, 4 * 2**20
"""Parts of a file, bytes of the index of them, and of a header in which names are looked up."""
_LENGTH, _HASH, _CHUNK = 8, 32, 2**16
_START = len(MAGIC) + _LENGTH + _HASH

Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
Planes: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=8)]
Columns: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST_WIDTH)]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A run of bytes: how it is coded, bytes before and after, and of how many bytes its elements are.

    With `planes` above 1 the first bytes of all elements come first, then all second ones: what numbers of
    one size have in common then lies together. `width` and `lag`: see `codings.Layout`.
    """

    coding: Coding
    size: Size
    packed: Size
    planes: Planes
    width: Columns = 0
    lag: Columns = 0

    @property
    def way(self) -> ways.Way:
        """Coding and layout."""
        return self.coding, Layout(self.planes, self.width, self.lag)


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds, part after part: the program file's header, then its tensors."""

    version: int
    parts: tuple[Part, ...]


_Code: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=len(CODINGS))]
_Row: TypeAlias = tuple[_Code, Size, Size, Planes, Columns, Columns]


class Stored(NamedTuple):
    """A part of a file: the tensor that it is, its coding, and its bytes before and after."""

    name: str
    coding: Coding
    size: int
    packed: int


def is_compact(start: bytes) -> bool:
    """Whether a file that begins so is compact.

    >>> is_compact(MAGIC + bytes(9)), is_compact(bytes(17))
    (True, False)
    """
    return start.startswith(MAGIC)


# ---------------------------------------------------------------- writing


def packed(program: bytes, cuts: Mapping[int, int]) -> bytes:
    """A program file as a compact one; `cuts`: at which byte each tensor begins, and its bytes an element."""
    begins = [*cuts, len(program)]
    pieces = [(program[: begins[0]], Layout())]
    pieces += [(program[a:b], Layout(cuts[a])) for a, b in pairwise(begins)]
    return b"".join(written(pieces))


def written(pieces: Iterable[tuple[bytes, Layout]]) -> Iterator[bytes]:
    """A compact file, in the bytes of which it is made; of the pieces only one is held at a time."""
    coded = [coded_part(piece, layout.planes, layout.width) for piece, layout in pieces if piece]
    index = index_of(Index(VERSION, tuple(part for part, _ in coded)))
    length = len(index).to_bytes(_LENGTH, "little")
    digest = hashlib.sha256(length + index)
    for _, content in coded:
        digest.update(content)
    yield MAGIC + length + digest.digest() + index
    yield from (content for _, content in coded)


def index_of(index: Index) -> bytes:
    """An index as it is in a file."""
    rows = [(CODINGS.index(p.coding), p.size, p.packed, p.planes, p.width, p.lag) for p in index.parts]
    return msgspec.msgpack.encode((index.version, rows))


def coded_part(content: bytes, planes: int = 1, width: int = 0) -> tuple[Part, bytes]:
    """A part in its smallest coding; `planes`: bytes of its elements, `width`: of how many a row is.

    Which coding that is a long part tells by a sample out of its middle.

    >>> part, found = coded_part(bytes(1000))
    >>> len(found) < 50
    True
    """
    columns = width if width <= MOST_WIDTH else 0
    (coding, layout), found = ways.smallest(content, Layout(planes, columns))
    return Part(coding, len(content), len(found), *layout), found


# ---------------------------------------------------------------- reading


class Unpacking:
    """The program file in a compact one, read from the front, a part at a time; `size`: its bytes.

    Raises ProgramError, in one line, for a file that is cut off, changed, of a newer version, or whose parts
    are more than `most` bytes or other than it says: for its checksum and index before any part is decoded,
    for a part when it is read.
    """

    def __init__(self, file: BinaryIO, size: int, most: int) -> None:
        self._file = file
        self.index, self.start = _checked(file, size, most)
        self.size = sum(part.size for part in self.index.parts)
        expect(sum(part.size for part in self.index.parts if part.coding in ways.OURS))
        self._next, self._left = 0, memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """The next bytes, fewer at the end."""
        found = bytearray()
        while len(found) < size and (piece := self._taken(size - len(found))):
            found += piece
        return bytes(found)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a buffer with the next bytes; how many they were."""
        count = 0
        while count < len(buffer) and (piece := self._taken(len(buffer) - count)):
            buffer[count : count + len(piece)] = piece
            count += len(piece)
        return count

    def _taken(self, most: int) -> memoryview:
        if not self._left and self._next < len(self.index.parts):
            part = self.index.parts[self._next]
            self._left = memoryview(_decoded(self._next, part, self._file.read(part.packed)))
            self._next += 1
        piece, self._left = self._left[:most], self._left[most:]
        return piece


def unpacked(content: bytes, most: int) -> bytes:
    """The program file in a compact one, of at most `most` bytes; raises ProgramError as `Unpacking` does."""
    found = Unpacking(io.BytesIO(content), len(content), most)
    return found.read(found.size)


def _checked(file: BinaryIO, size: int, most: int) -> tuple[Index, int]:
    """The index of a file whose checksum is right, which is then at its first part; and where that is."""
    file.seek(0)
    start = file.read(_START)
    length = int.from_bytes(start[len(MAGIC) : len(MAGIC) + _LENGTH], "little")
    if len(start) < _START or length > min(size - _START, MOST_INDEX):
        raise ProgramError(f"a compact file that is cut off: {size:,} bytes, its index alone {length:,}")
    digest = hashlib.sha256(start[len(MAGIC) : len(MAGIC) + _LENGTH])
    text = file.read(length)
    digest.update(text)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.digest() != start[-_HASH:]:
        raise ProgramError("a compact file that is cut off or was changed: its checksum is another")
    index = _index(text)
    whole = sum(part.size for part in index.parts)
    if whole > most:
        raise ProgramError(f"a compact file of {whole:,} bytes when decoded; at most {most:,}")
    if length + sum(part.packed for part in index.parts) != size - _START:
        raise ProgramError("a compact file whose parts are not all of it")
    file.seek(_START + length)
    return index, _START + length


def _index(text: bytes) -> Index:
    """The index in a file: JSON in version 1, MessagePack since."""
    try:
        index = _first_index(text) if text.startswith(b"{") else _second_index(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProgramError(f"a compact file without a whole index: {one_line(error)}") from None
    if not 1 <= len(index.parts) <= MOST_PARTS:
        raise ProgramError(f"a compact file of {len(index.parts):,} parts; 1 to {MOST_PARTS:,}")
    return index


def _first_index(text: bytes) -> Index:
    index = msgspec.json.decode(text, type=Index)
    if index.version != 1:
        known = "which has another index" if index.version == VERSION else f"this TinyTorch reads {VERSION}"
        raise ProgramError(f"a compact file of version {index.version}; {known}")
    if any(p.coding not in FIRST or p.width or p.lag for p in index.parts):
        raise ProgramError("a compact file of version 1 with codings of version 2")
    return index


def _second_index(text: bytes) -> Index:
    version, rows = msgspec.msgpack.decode(text, type=tuple[int, list[msgspec.Raw]])
    if version != VERSION:
        raise ProgramError(f"a compact file of version {version}; this TinyTorch reads {VERSION}")
    fields = [msgspec.msgpack.decode(row, type=_Row) for row in rows[: MOST_PARTS + 1]]
    index = Index(version, tuple(Part(CODINGS[code], *rest) for code, *rest in fields))
    if len(rows) <= MOST_PARTS and index_of(index) != text:
        raise ProgramError("a compact file without a whole index: it is not in its one form")
    return index


def _decoded(number: int, part: Part, piece: bytes) -> Content:
    if len(piece) < part.packed:
        raise ProgramError("it changed while it was read")
    try:
        return ways.decode(piece, part.size, part.way)
    except ways.ERRORS as error:
        raise ProgramError(f"part {number} of a compact file cannot be decoded: {one_line(error)}") from None


# ---------------------------------------------------------------- looking


class _Entry(msgspec.Struct):
    data_offsets: tuple[int, int]


def parts_of(path: str | Path) -> list[Stored]:
    """What a compact file is made of: "index" (with checksum), "program" and tensors, the whole file in all.

    Names are those of the header; "" where it has none. Raises ProgramError for a file that is not compact,
    is damaged or cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if not is_compact(file.read(len(MAGIC))):
                raise ProgramError("not a compact file. Save the program with compact=True.")
            found = Unpacking(file, os.fstat(file.fileno()).st_size, 2**40)
            first, *others = found.index.parts
            names = _names(found.read(first.size)) if first.size <= MOST_HEADER else []
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ProgramError as error:
        raise ProgramError(f"{path}: {error}") from None
    named = [*names, *[""] * len(others)]
    return [
        Stored("index", "raw", found.start, found.start),
        Stored("program", first.coding, first.size, first.packed),
        *(Stored(name, p.coding, p.size, p.packed) for name, p in zip(named, others, strict=False)),
    ]


def _names(header: bytes) -> list[str]:
    """The tensors with elements that a header tells of, in their order."""
    try:
        table = msgspec.json.decode(header[_LENGTH:], type=dict[str, msgspec.Raw])
        table.pop("__metadata__", None)
        places = {name: msgspec.json.decode(raw, type=_Entry).data_offsets for name, raw in table.items()}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return []
    return [name for name, (begin, end) in sorted(places.items(), key=lambda item: item[1]) if end > begin]


def entropy_bits(codes: bytes) -> float:
    """Bits a byte that no code of single bytes can go below: Shannon's entropy of how often each is there.

    >>> entropy_bits(bytes([0, 1, 2, 3]))
    2.0
    """
    counts = np.bincount(np.frombuffer(codes, np.uint8))
    shares = counts[counts > 0] / max(len(codes), 1)
    return -math.fsum(shares * np.log2(shares))
