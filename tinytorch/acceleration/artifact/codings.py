"""Ways to code elements of which many are 0 or few differ: books of values, gaps between elements, planes.

Each way is two functions: bytes of elements to a piece of a file, and back. A piece is checked as it is read:
whatever is wrong with it raises ValueError, and no memory is taken for more than its elements.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from tinytorch.acceleration.artifact.range_coder import decoded, encoded
from tinytorch.ops.spec import Array

MOST_VALUES = 256
"""Different values in a book."""
Content: TypeAlias = bytes | bytearray | memoryview

SIZES = (1, 2, 4, 8)
"""Bytes of an element for which there are books."""
LONG_GAP = 255
"""Zeros that a gap of this number stands for, without an element behind them."""
_CHUNK = 2**16
_AS_PLANES, _AS_BOOK = 0, 1


class Layout(NamedTuple):
    """Bytes of an element, elements in a row (0: unknown), and how far back an element's second neighbour is.

    In a layer of 28 x 28 inputs a weight is much like that of the next pixel, 1 back, and like that of the
    pixel above, 28 back.
    """

    planes: int = 1
    width: int = 0
    lag: int = 0


# ---------------------------------------------------------------- planes


def in_planes(content: bytes, planes: int) -> bytes:
    """The bytes of elements, the first ones of all of them in front; back with `out_of_planes`.

    >>> in_planes(b"abcABC", 3)
    b'aAbBcC'
    """
    return np.frombuffer(content, np.uint8).reshape(-1, planes).T.tobytes()


def out_of_planes(content: Content, planes: int) -> bytes:
    """What `in_planes` was given."""
    return np.frombuffer(content, np.uint8).reshape(planes, -1).T.tobytes()


def by_planes(content: bytes, layout: Layout) -> bytes:
    """Each plane by the range coder, or as it is where that is shorter."""
    count = len(content) // layout.planes
    turned, found = in_planes(content, layout.planes), []
    for begin in range(0, len(turned), count or 1):
        found.append(_packed(turned[begin : begin + count], layout))
    return b"".join(found)


def of_planes(piece: bytes, size: int, layout: Layout) -> Content:
    """What `by_planes` coded, of that many bytes."""
    reader = _Reader(piece)
    found = _planes(reader, size // layout.planes, layout)
    reader.end()
    return found


def _planes(reader: _Reader, count: int, layout: Layout) -> Content:
    found: list[Content] = []
    for _ in range(layout.planes if count else 0):
        found.append(_symbols(reader, count, layout))
    return found[0] if layout.planes == 1 and found else out_of_planes(b"".join(found), layout.planes)


# ---------------------------------------------------------------- few values


def by_book(content: bytes, layout: Layout) -> bytes | None:
    """The different values, ascending, 0 in front, and which of them each element is; None if above 256."""
    elements = _elements(content, layout.planes)
    values, numbers = _values(elements)
    if not 1 <= len(values) <= MOST_VALUES:
        return None
    book = by_planes(values.tobytes(), Layout(layout.planes))
    stream = _packed(numbers.astype(np.uint8).tobytes(), layout, _half(values))
    return bytes([len(values) - 1]) + book + stream


def of_book(piece: bytes, size: int, layout: Layout) -> Content:
    """What `by_book` coded, of that many bytes."""
    reader, count = _Reader(piece), size // layout.planes
    entries = reader.take(1)[0] + 1
    values = _elements(_planes(reader, entries, Layout(layout.planes)), layout.planes)
    if np.any(values[1:] <= values[:-1]):
        raise ValueError("a book whose values do not ascend")
    numbers = np.frombuffer(_symbols(reader, count, layout, _half(values)), np.uint8)
    reader.end()
    if count and numbers.max() >= entries:
        raise ValueError(f"value {numbers.max()} of a book of {entries}")
    return _bytes_of(values[numbers])


def _values(elements: Array) -> tuple[Array, Array]:
    """The different elements in order, and of each element its number among them."""
    values = np.unique(elements[:_CHUNK])
    if len(values) <= MOST_VALUES and len(elements) > _CHUNK:
        values = np.unique(elements)
    if len(values) > MOST_VALUES:
        return values, elements[:0]
    return values, np.searchsorted(values, elements)


def _half(values: Array) -> int:
    """The last value without a sign: above it are those of numbers below 0, floats and integers alike."""
    return int(np.searchsorted(values, 1 << 8 * values.itemsize - 1)) - 1


def _elements(content: Content, size: int) -> Array:
    if size not in SIZES:
        raise ValueError(f"elements of {size} bytes")
    return np.frombuffer(content, f"<u{size}")


def _bytes_of(elements: Array) -> Content:
    return elements.view(np.uint8).data


# ---------------------------------------------------------------- few elements


def by_gaps(content: bytes, layout: Layout) -> bytes | None:
    """Zeros before each element that is none, and those elements: Deep Compression (Han et al. 2016).

    A gap is a byte; 255 are 255 zeros and no element yet. None if most elements are not 0.
    """
    elements = _elements(content, layout.planes)
    at = np.flatnonzero(elements)
    if 2 * len(at) > len(elements):
        return None
    gaps = np.diff(at, prepend=-1) - 1
    escapes, ends = gaps // LONG_GAP, np.cumsum(gaps // LONG_GAP + 1)
    stream = np.full(int(ends[-1]) if len(at) else 0, LONG_GAP, np.uint8)
    stream[ends - 1] = gaps - LONG_GAP * escapes
    gaps_and_length = _number(len(stream)) + _packed(stream.tobytes(), Layout())
    return gaps_and_length + _coded_elements(elements[at].tobytes(), layout.planes)


def of_gaps(piece: bytes, size: int, layout: Layout) -> Content:
    """What `by_gaps` coded, of that many bytes."""
    reader, count = _Reader(piece), size // layout.planes
    length = reader.number(count)
    stream = np.frombuffer(_symbols(reader, length, Layout()), np.uint8)
    present = int(np.count_nonzero(stream < LONG_GAP))
    if 2 * present > count or (length and stream[-1] == LONG_GAP):
        raise ValueError("gaps without their elements")
    elements = _other_elements(reader, present, layout.planes)
    found = np.zeros(count, elements.dtype)
    place, used = 0, 0
    for begin in range(0, length, _CHUNK):
        gaps = stream[begin : begin + _CHUNK]
        ends = place + np.cumsum(gaps + (gaps < LONG_GAP).astype(np.int64))
        place, at = int(ends[-1]), ends[gaps < LONG_GAP] - 1
        if place > count:
            raise ValueError("a gap that leads out of the part")
        found[at] = elements[used : used + len(at)]
        used += len(at)
    return _bytes_of(found)


def by_map(content: bytes, layout: Layout) -> bytes | None:
    """Which elements are not 0, by the range coder, and those elements; None if all are, or none."""
    elements = _elements(content, layout.planes)
    there = elements != 0
    stream = encoded(there.astype(np.uint8).tobytes(), width=layout.width, lag=layout.lag)
    if stream is None or not there.any() or there.all():
        return None
    return _number(len(stream)) + stream + _coded_elements(elements[there].tobytes(), layout.planes)


def of_map(piece: bytes, size: int, layout: Layout) -> Content:
    """What `by_map` coded, of that many bytes."""
    reader, count = _Reader(piece), size // layout.planes
    stream = reader.take(reader.number(len(reader)))
    there = np.frombuffer(decoded(stream, count, width=layout.width, lag=layout.lag), np.uint8)
    if count and there.max() > 1:
        raise ValueError("a map of zeros with other symbols than 0 and 1")
    elements = _other_elements(reader, int(there.sum(dtype=np.int64)), layout.planes)
    found = np.zeros(count, elements.dtype)
    found[there.view(np.bool_)] = elements
    return _bytes_of(found)


def _coded_elements(content: bytes, size: int) -> bytes:
    """Elements alone, in planes or as a book."""
    layout = Layout(size)
    ways = [bytes([_AS_PLANES]) + by_planes(content, layout)]
    if content and (book := by_book(content, layout)) is not None:
        ways.append(bytes([_AS_BOOK]) + book)
    return min(ways, key=len)


def _other_elements(reader: _Reader, count: int, size: int) -> Array:
    """The elements at the end of a piece, none of which is 0."""
    way = reader.take(1)[0]
    if way > _AS_BOOK:
        raise ValueError(f"elements coded in way {way}")
    read = of_book if way == _AS_BOOK else of_planes
    elements = _elements(read(reader.rest(), count * size, Layout(size)), size)
    if np.any(elements == 0):
        raise ValueError("an element that is 0 among those that are not")
    return elements


# ---------------------------------------------------------------- streams and numbers


def _packed(symbols: bytes, layout: Layout, half: int = 127) -> bytes:
    """Symbols by the range coder behind its length, or behind a 0 as they are, where that is shorter."""
    stream = encoded(symbols, half=half, width=layout.width, lag=layout.lag)
    return _number(0) + symbols if stream is None else _number(len(stream)) + stream


def _symbols(reader: _Reader, count: int, layout: Layout, half: int = 127) -> Content:
    length = reader.number(len(reader))
    if not length:
        return reader.take(count)
    return decoded(reader.take(length), count, half=half, width=layout.width, lag=layout.lag)


def _number(value: int) -> bytes:
    """A number, seven bits a byte, the lowest first; the last byte alone is below 128."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


class _Reader:
    """Bytes that are read from the front, each once; raises ValueError where there are not enough."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def __len__(self) -> int:
        return len(self._content) - self._at

    def take(self, count: int) -> bytes:
        if count > len(self):
            raise ValueError(f"{count:,} bytes where {len(self):,} are left")
        self._at += count
        return self._content[self._at - count : self._at]

    def number(self, most: int) -> int:
        """A number in its shortest form, up to `most`."""
        value, shift, byte = 0, 0, 128
        while byte > 127:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if value > most or (byte == 0 and shift > 7):
                raise ValueError(f"a number above {most:,}, or in more bytes than it takes")
        return value

    def rest(self) -> bytes:
        return self.take(len(self))

    def end(self) -> None:
        if len(self):
            raise ValueError(f"{len(self):,} bytes too many")
