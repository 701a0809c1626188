"""All ways to code a part of a compact file, and which of them makes it smallest."""

from __future__ import annotations

import io
import lzma
from collections.abc import Callable, Mapping
from itertools import islice, takewhile
from typing import Literal, TypeAlias, get_args

import numpy as np
import zstandard

from tinytorch.acceleration.artifact import codings
from tinytorch.acceleration.artifact.codings import SIZES, Content, Layout, in_planes, out_of_planes
from tinytorch.acceleration.artifact.words import words
from tinytorch.ops.spec import Array

LEVEL, SAMPLE, CHUNK = 9, 2**16, 2**16
"""Of zstandard (on codes of weights 19 is no smaller, and 100 times slower); bytes that tell the coding; and
bytes that are decoded at a time."""
LONG = 2**22
"""Bytes above which the sample alone tells the coding, and the range coder, which is slow, must gain more."""
MARGIN = 1.03
MOST_LAG = 512
"""Elements between neighbours that are looked for."""
_WINDOW = 2**27  # bytes that a decoder of zstandard may look back at most
_WORTH = 128  # values above which a book of single bytes tells nothing that the bytes do not
FILTERS: tuple[Mapping[str, int], ...] = (
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 2**22,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    },
)

Coding: TypeAlias = Literal["raw", "zstd", "lzma", "text", "range", "book", "gaps", "map"]
CODINGS: tuple[Coding, ...] = get_args(Coding)
FIRST = CODINGS[:3]
"""Those of version 1."""
ERRORS = (zstandard.ZstdError, lzma.LZMAError, EOFError, ValueError)
"""What a decoder raises for a piece that is damaged."""
Way: TypeAlias = tuple[Coding, Layout]


def smallest(content: bytes, layout: Layout) -> tuple[Way, bytes]:
    """The way that makes a part smallest, of equal ones the first, and what it makes of the part.

    A long part tells by a sample out of its middle which ways it is worth trying: the best two that suit the
    whole, or one if it is longer than LONG.

    >>> (coding, _), found = smallest(bytes(1000), Layout())
    >>> coding, len(found)
    ('range', 2)
    """
    ways = _ways(content, layout) if content else []
    if len(content) > SAMPLE:
        size = layout.planes * max(1, layout.width if layout.width <= SAMPLE // 8 else 1)
        begin = len(content) // size // 2 * size - SAMPLE // 2 // size * size
        sample = content[max(0, begin) :][: max(1, SAMPLE // size) * size]
        slow = MARGIN if len(content) > LONG else 1.0
        lengths = {way: _length(sample, way) * (slow if way[0] in OURS else 1.0) for way in ways}
        ways = list(takewhile(lambda way: way[0] != "raw", sorted(ways, key=lambda way: lengths[way])))
    most = len(ways) if len(content) <= SAMPLE else 1 if len(content) > LONG else 2
    coded = ((way, encode(content, way)) for way in ways)
    suited = ((way, piece) for way, piece in coded if piece is not None and len(piece) < len(content))
    found = list(islice(suited, most))
    return min(found, key=lambda pair: len(pair[1]), default=(("raw", Layout()), content))


def _length(content: bytes, way: Way) -> int:
    found = encode(content, way)
    return 2 * len(content) if found is None else len(found)


def _ways(content: bytes, layout: Layout) -> list[Way]:
    """The ways that may suit a part, "raw" first."""
    planes = layout.planes
    ways: list[Way] = [("raw", Layout())]
    for coding in ("zstd", "lzma"):
        ways += [(coding, Layout(each)) for each in dict.fromkeys((1, planes))]
    if not layout.width and planes == 1:
        ways.append(("text", Layout()))
    if planes not in SIZES or len(content) % planes:
        return ways
    elements = np.frombuffer(content, f"<u{planes}")
    present = int(np.count_nonzero(elements))
    few = len(np.unique(elements[:SAMPLE])) <= (_WORTH if planes == 1 else codings.MOST_VALUES)
    sparse = 4 * present < 3 * len(elements)
    flat = layout._replace(lag=0)
    lag = best_lag(elements, layout.width) if sparse else 0
    for each in dict.fromkeys((flat, flat._replace(lag=lag))):
        if planes == 1 or not each.lag:
            ways.append(("range", each))
        if few:
            ways.append(("book", each))
        if sparse and planes > 1 and present:
            ways.append(("map", each))
    if sparse and present:
        ways.append(("gaps", Layout(planes)))
    return ways


def best_lag(elements: Array, width: int) -> int:
    """How far apart in a row elements are that are most alike in being 0 or not, from 2 on; 0 where none are.

    Counted as pairs above those that there would be if columns had nothing to do with each other.

    >>> rows = np.zeros((8, 12), np.uint8)
    >>> rows[::2, 1::5] = 1
    >>> best_lag(rows.reshape(-1), 12)
    5
    """
    rows = min(len(elements) // width, max(8, SAMPLE // width)) if width else 0
    if rows < 8 or width < 4:
        return 0
    there = (elements[: rows * width] != 0).reshape(rows, width)
    columns = there.sum(0, dtype=np.int64)
    found, most = 0, 0
    for lag in range(2, min(MOST_LAG, width - 1) + 1):
        both = int(np.count_nonzero(there[:, lag:] & there[:, :-lag]))
        score = rows * both - int(columns[lag:] @ columns[:-lag])
        if score > most:
            found, most = lag, score
    return found


def encode(content: bytes, way: Way) -> bytes | None:
    """A part coded in one way; None where that way does not suit it, or makes it no shorter."""
    coding, layout = way
    return _ENCODERS[coding](content, layout)


def decode(piece: bytes, size: int, way: Way) -> Content:
    """The part of `size` bytes that is coded in a piece; raises one of ERRORS for what is none."""
    coding, layout = way
    if layout.planes > 1 and size % layout.planes:
        raise ValueError(f"{size} bytes in {layout.planes} planes")
    found = _DECODERS[coding](piece, size, layout)
    if len(found) != size:
        raise ValueError(f"{len(found):,} bytes, not {size:,}")
    return found


# ---------------------------------------------------------------- libraries'


def _by_zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress(content)


def _by_lzma(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_RAW, filters=list(FILTERS))


def _by_text(content: bytes) -> bytes:
    settings = zstandard.ZstdCompressionParameters.from_level(
        19, write_content_size=0, write_dict_id=0, write_checksum=0, format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    return zstandard.ZstdCompressor(dict_data=words(), compression_params=settings).compress(content)


def _in_turn(packer: Callable[[bytes], bytes]) -> Callable[[bytes, Layout], bytes]:
    """A packer of elements in planes."""

    def packed(content: bytes, layout: Layout) -> bytes:
        whole = content[: len(content) // layout.planes * layout.planes]
        return packer(in_planes(whole, layout.planes) if layout.planes > 1 else content)

    return packed


def _unturned(unpacker: Callable[[bytes, int], Content]) -> Callable[[bytes, int, Layout], Content]:
    def unpacked(piece: bytes, size: int, layout: Layout) -> Content:
        found = unpacker(piece, size)
        return out_of_planes(found, layout.planes) if layout.planes > 1 and len(found) == size else found

    return unpacked


def _raw(piece: bytes, size: int) -> bytes:
    return piece


def _of_zstd(piece: bytes, size: int) -> bytearray:
    return _read(zstandard.ZstdDecompressor(max_window_size=_WINDOW), piece, size)


def _of_text(piece: bytes, size: int) -> bytearray:
    unpacker = zstandard.ZstdDecompressor(
        dict_data=words(), max_window_size=_WINDOW, format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    return _read(unpacker, piece, size)


def _read(unpacker: zstandard.ZstdDecompressor, piece: bytes, size: int) -> bytearray:
    reader = unpacker.stream_reader(io.BytesIO(piece))
    found = bytearray()
    while len(found) <= size and (chunk := reader.read(min(CHUNK, size + 1 - len(found)))):
        found += chunk
    return found


def _of_lzma(piece: bytes, size: int) -> bytes:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=list(FILTERS))
    found = unpacker.decompress(piece, max_length=size + 1)
    if not unpacker.eof or unpacker.unused_data:
        raise EOFError("it does not end where it should")
    return found


_ENCODERS: Mapping[Coding, Callable[[bytes, Layout], bytes | None]] = {
    "raw": lambda content, layout: content,
    "zstd": _in_turn(_by_zstd),
    "lzma": _in_turn(_by_lzma),
    "text": _in_turn(_by_text),
    "range": codings.by_planes,
    "book": codings.by_book,
    "gaps": codings.by_gaps,
    "map": codings.by_map,
}
_DECODERS: Mapping[Coding, Callable[[bytes, int, Layout], Content]] = {
    "raw": _unturned(_raw),
    "zstd": _unturned(_of_zstd),
    "lzma": _unturned(_of_lzma),
    "text": _unturned(_of_text),
    "range": codings.of_planes,
    "book": codings.of_book,
    "gaps": codings.of_gaps,
    "map": codings.of_map,
}
OURS = ("range", "book", "gaps", "map")
"""Codings whose symbols the range coder codes."""
