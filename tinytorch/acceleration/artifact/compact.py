"""Compact files: a program file whose parts are entropy-coded, each in the way that makes it smallest.

What is decoded is the program file itself, byte by byte, and goes through all its checks. Before that nothing
is allocated that the file merely asks for: sizes are compared with the limits, and no decoder gives more than
its part has. docs/program-format.md describes the form.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np
import zstandard

from tinytorch.acceleration.artifact.document import one_line
from tinytorch.errors import ProgramError

MAGIC = b"\x89TTC\r\n\x1a\n"
"""The first bytes: none that text or a safetensors file of any size begins with."""
VERSION = 1
MOST_PARTS, MOST_INDEX = 2**16, 4 * 2**20
"""Parts of a file, and bytes of the index of them."""
LEVEL, SAMPLE, CHUNK = 9, 2**16, 2**16
"""Of zstandard (on codes of weights 19 is no smaller, and 100 times slower); bytes that tell the coding; and
bytes that are decoded at a time."""
_LENGTH, _HASH = 8, 32
_WINDOW = 2**27  # bytes that a decoder of zstandard may look back at most
_FILTERS: tuple[Mapping[str, int], ...] = (
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 2**22,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    },
)

Coding: TypeAlias = Literal["raw", "zstd", "lzma"]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A run of bytes: how it is coded, bytes before and after, and of how many bytes its elements are.

    With `planes` above 1 the first bytes of all elements come first, then all second ones: what numbers of
    one size have in common then lies together.
    """

    coding: Coding
    size: Size
    packed: Size
    planes: Annotated[int, msgspec.Meta(ge=1, le=8)]


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds, part after part: the program file's header, then its tensors."""

    version: int
    parts: tuple[Part, ...]


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
    pieces = [(program[: begins[0]], 1)]
    pieces += [(program[a:b], cuts[a]) for a, b in pairwise(begins)]
    coded = [coded_part(piece, planes) for piece, planes in pieces if piece]
    index = msgspec.json.encode(Index(VERSION, tuple(part for part, _ in coded)))
    body = b"".join([index, *(content for _, content in coded)])
    length = len(index).to_bytes(_LENGTH, "little")
    return MAGIC + length + hashlib.sha256(length + body).digest() + body


def coded_part(content: bytes, planes: int = 1) -> tuple[Part, bytes]:
    """A part in its smallest coding, of equal ones the first: as it is, by zstandard, or by LZMA.

    Which one that is a long part tells by a sample out of its middle.

    >>> part, found = coded_part(bytes(1000))
    >>> len(found) < 50
    True
    """
    half = len(content) // planes // 2 * planes
    sample = content[max(0, half - SAMPLE // 2 // planes * planes) :][:SAMPLE] if half else content
    ways: list[tuple[Coding, int]] = [("raw", 1)]
    ways += [(coding, each) for each in dict.fromkeys((1, planes)) for coding in _PACKERS]
    coding, each = min(ways, key=lambda way: len(_packed(sample, *way)))
    found = _packed(content, coding, each)
    if len(found) >= len(content):
        coding, each, found = "raw", 1, content
    return Part(coding, len(content), len(found), each), found


def _packed(content: bytes, coding: Coding, planes: int) -> bytes:
    turned = in_planes(content[: len(content) // planes * planes], planes) if planes > 1 else content
    return content if coding == "raw" else _PACKERS[coding](turned)


def _by_zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress(content)


def _by_lzma(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_RAW, filters=list(_FILTERS))


_PACKERS: Mapping[Coding, Callable[[bytes], bytes]] = {"zstd": _by_zstd, "lzma": _by_lzma}


def in_planes(content: bytes, planes: int) -> bytes:
    """The bytes of elements, the first ones of all of them in front; back with `out_of_planes`.

    >>> in_planes(b"abcABC", 3)
    b'aAbBcC'
    """
    return np.frombuffer(content, np.uint8).reshape(-1, planes).T.tobytes()


def out_of_planes(content: bytes, planes: int) -> bytes:
    """What `in_planes` was given."""
    return np.frombuffer(content, np.uint8).reshape(planes, -1).T.tobytes()


# ---------------------------------------------------------------- reading


def unpacked(content: bytes, most: int) -> bytes:
    """The program file in a compact one, of at most `most` bytes.

    Raises ProgramError, in one line, for a file that is cut off, changed, of a newer version, or whose parts
    are more than the limit or other than it says.
    """
    start = len(MAGIC) + _LENGTH + _HASH
    length = int.from_bytes(content[len(MAGIC) : len(MAGIC) + _LENGTH], "little")
    if len(content) < start or length > min(len(content) - start, MOST_INDEX):
        raise ProgramError(
            f"a compact file that is cut off: {len(content):,} bytes, its index alone {length:,}"
        )
    body = memoryview(content)[start:]
    digest = hashlib.sha256(content[len(MAGIC) : len(MAGIC) + _LENGTH])
    digest.update(body)
    if digest.digest() != content[start - _HASH : start]:
        raise ProgramError("a compact file that is cut off or was changed: its checksum is another")
    index = _index(bytes(body[:length]))
    whole = sum(part.size for part in index.parts)
    if whole > most:
        raise ProgramError(f"a compact file of {whole:,} bytes when decoded; at most {most:,}")
    if length + sum(part.packed for part in index.parts) != len(body):
        raise ProgramError("a compact file whose parts are not all of it")
    return b"".join(_decoded(index, body[length:]))


def _index(text: bytes) -> Index:
    try:
        index = msgspec.json.decode(text, type=Index)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProgramError(f"a compact file without a whole index: {one_line(error)}") from None
    if index.version != VERSION:
        raise ProgramError(f"a compact file of version {index.version}; this TinyTorch reads {VERSION}")
    if not 1 <= len(index.parts) <= MOST_PARTS:
        raise ProgramError(f"a compact file of {len(index.parts):,} parts; 1 to {MOST_PARTS:,}")
    return index


def _decoded(index: Index, body: memoryview) -> Iterator[bytes]:
    begin = 0
    for number, part in enumerate(index.parts):
        piece = bytes(body[begin : begin + part.packed])
        begin += part.packed
        if part.planes > 1 and part.size % part.planes:
            raise ProgramError(f"part {number} of a compact file: {part.size} bytes in {part.planes} planes")
        try:
            found = _DECODERS[part.coding](piece, part.size)
        except (zstandard.ZstdError, lzma.LZMAError, EOFError, ValueError) as error:
            raise ProgramError(
                f"part {number} of a compact file cannot be decoded: {one_line(error)}"
            ) from None
        if len(found) != part.size:
            raise ProgramError(f"part {number} of a compact file: {len(found):,} bytes, not {part.size:,}")
        yield out_of_planes(found, part.planes) if part.planes > 1 else found


def _raw(piece: bytes, size: int) -> bytes:
    return piece


def _zstd(piece: bytes, size: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(io.BytesIO(piece))
    found = bytearray()
    while len(found) <= size and (chunk := reader.read(min(CHUNK, size + 1 - len(found)))):
        found += chunk
    return bytes(found)


def _lzma(piece: bytes, size: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=list(_FILTERS))
    found = decoder.decompress(piece, max_length=size + 1)
    if not decoder.eof or decoder.unused_data:
        raise EOFError("it does not end where it should")
    return found


_DECODERS = {"raw": _raw, "zstd": _zstd, "lzma": _lzma}


def entropy_bits(codes: bytes) -> float:
    """Bits a byte that no code of single bytes can go below: Shannon's entropy of how often each is there.

    >>> entropy_bits(bytes([0, 1, 2, 3]))
    2.0
    """
    counts = np.bincount(np.frombuffer(codes, np.uint8))
    shares = counts[counts > 0] / max(len(codes), 1)
    return -math.fsum(shares * np.log2(shares))
