"""A range coder that learns as it goes: bytes, of which many are 0, in as many bits as they are surprising.

Arithmetic coding (Witten, Neal, Cleary 1987) of yes or no: the message is one number, and each bit keeps the
part of an interval that is as wide as the bit was likely. Likelihoods are learnt from what went before, which
whoever decodes has too; so none are in the file. A symbol is coded as "is it 0", in the light of its column,
of its row and of two neighbours, and then as a number, bit by bit down a tree.

The functions at its core use whole numbers and indexing alone: numba compiles them, and Python runs them as
they are, with the same result.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinytorch.acceleration.compiling import compiled, has_numba

Bytes: TypeAlias = NDArray[np.uint8]

MOST_WIDTH = 2**20
"""Symbols in a row, at most: the coder counts for each column."""
LOADING, ALONE = 1.0, 2**4
"""Seconds that it takes to load the compiler, until which Python codes; and symbols that it always does."""
_TOP, _BYTE = 40, 32  # bits of the interval's ends, and of what is below their first byte
_FINE, _BITS = 22, 16  # bits in which a likelihood is learnt, and in which it divides the interval
_RARE = 16  # no bit is held for rarer than this, of 2^16: an unexpected one costs 12 bits at most
_MEMORY = 255  # of how many bits a likelihood is the mean; after that older ones fade
_REST = (1 << _BYTE) - 1
_LOW, _HIGH, _AT = 0, 1, 3  # in the state of a coder: low, high, value, at, end, decodes
_COLUMN, _ROW, _SIDES = 12, 7, 9
_FLAGS = _COLUMN * _ROW * 4
_TREES = _FLAGS + _SIDES * 4  # behind the flags: the first two steps of a tree for each pair of neighbours
_STATES = _TREES + 256
_SCALE = 256
_TABLE = (
    *(sum(x >= bound for bound in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)) for x in range(_SCALE)),
    *(sum(x >= bound for bound in (2, 5, 11, 23, 47, 95)) for x in range(_SCALE)),
    *((1 << 16) // (seen + 2) for seen in range(_MEMORY + 1)),
)
"""How dense a column is, and a row, by the share of its symbols that are not 0 in 256ths; then how far a
likelihood goes towards a bit, in 2^16ths, by how many it has seen."""
_RATES = 2 * _SCALE


def _code(
    coder: Any, stream: Any, symbols: Any, rule: Any, columns: Any, chances: Any, rates: Any, table: Any
) -> int:
    """Code symbols, or find those of the stream; how many: fewer where it is full, or one is too large.

    All is in one function, since calls with arrays took most of the time.
    """
    low, high, value, at, end, decodes = coder[0], coder[1], coder[2], coder[3], coder[4], coder[5]
    most, depth, half, width, lag = rule[0], rule[1], rule[2], rule[3], rule[4]
    count, row, column, before = len(symbols), 0, 0, 0
    for i in range(count):
        symbol = symbols[i]
        left = symbols[i - 1] if column else 0
        far = symbols[i - lag] if lag and column >= lag else 0
        dense = table[(_SCALE * columns[column] + 100) // (row + 2)]
        full = table[_SCALE + (_SCALE * before + 100) // (column + 4)]
        flag = ((dense * _ROW + full) * 2 + (left > 0)) * 2 + (far > 0)
        sides = _FLAGS + 4 * (3 * ((left > 0) + (left > half)) + (far > 0) + (far > half))
        node, step = 0, depth  # the first bit leads from "it is 0" to the tree's root, which is node 1
        while step >= 0:
            place = flag if node == 0 else sides + node if node < 4 else _TREES + node
            likely, seen = chances[place], rates[place]
            share = min(max(likely >> (_FINE - _BITS), _RARE), (1 << _BITS) - _RARE)
            middle = low + ((high - low) * share >> _BITS)
            if decodes:
                bit = value <= middle
            elif node == 0:
                bit = symbol > 0
            else:
                bit = symbol - 1 >> step & 1 > 0
            if bit:
                high = middle
                chances[place] = likely + (((1 << _FINE) - likely) * table[_RATES + seen] >> _BITS)
            else:
                low = middle + 1
                chances[place] = likely - (likely * table[_RATES + seen] >> _BITS)
            if seen < _MEMORY:
                rates[place] = seen + 1
            while low >> _BYTE == high >> _BYTE:  # the first byte is certain: out with it
                if decodes:
                    value = (value & _REST) << 8 | (stream[at] if at < end else 0)
                elif at < end:
                    stream[at] = high >> _BYTE
                at += 1
                low, high = (low & _REST) << 8, (high & _REST) << 8 | 255
            node = node << 1 | bit
            if node == 0:
                break
            step -= 1
        symbol = node - (1 << depth) + 1 if node else 0
        if symbol > most or at > end + 8:
            return i
        symbols[i] = symbol
        columns[column] += symbol > 0
        before += symbol > 0
        column += 1
        if column == width:
            row, column, before = row + 1, 0, 0
    coder[0], coder[1], coder[3] = low, high, at
    return count


def encoded(symbols: bytes, *, half: int = 127, width: int = 0, lag: int = 0) -> bytes | None:
    """Symbols as a stream: the largest of them in a byte, then the coder's number; None if it is no shorter.

    `width`: symbols in a row; 0 or above MOST_WIDTH: all are one row, or rows of that many. `lag`: how far
    back in its row the second neighbour is, the first being the one before; 0: there is none. `half`:
    neighbours above it are of another kind than those from 1 up to it (of int8 codes: below 0), which tells
    something of a symbol.

    >>> len(encoded(bytes([0, 0, 1, 0] * 100), width=4))
    9
    """
    most = _largest(symbols)
    if not most:
        return bytes(1)
    width = min(width if width > 0 else MOST_WIDTH, len(symbols), MOST_WIDTH)
    rule, stream = (most, (most - 1).bit_length(), half, width, lag), bytearray(len(symbols))
    coder = [0, (1 << _TOP) - 1, 0, 0, len(stream), 0]
    if _run(coder, stream, bytearray(symbols), rule) < len(symbols):
        return None
    tail = _tail(coder)
    if 1 + coder[_AT] + len(tail) >= len(symbols):
        return None
    return bytes([most]) + bytes(stream[: coder[_AT]]) + tail


def decoded(stream: bytes, count: int, *, half: int = 127, width: int = 0, lag: int = 0) -> bytearray:
    """The symbols of which `encoded` made a stream, that many; raises ValueError for any other stream.

    >>> decoded(encoded(b"hello, hello, hello, hello, hello, hello"), 40)
    bytearray(b'hello, hello, hello, hello, hello, hello')
    """
    if not stream:
        raise ValueError("a stream without a byte")
    if stream[0] == 0:
        if len(stream) > 1:
            raise ValueError(f"{len(stream) - 1} bytes too many for symbols that are all 0")
        return bytearray(count)
    if count > most_symbols(len(stream)):
        raise ValueError(f"{count:,} symbols cannot be in {len(stream):,} bytes")
    content, most = bytearray(stream[1:]), stream[0]
    width = min(width if width > 0 else MOST_WIDTH, count, MOST_WIDTH)
    rule, symbols = (most, (most - 1).bit_length(), half, width, lag), bytearray(count)
    start = int.from_bytes(content[: _TOP // 8].ljust(_TOP // 8, b"\0"), "big")
    coder = [0, (1 << _TOP) - 1, start, _TOP // 8, len(content), 1]
    if _run(coder, content, symbols, rule) < count:
        raise ValueError("it ends too early, or has a symbol that is too large")
    whole = coder[_AT] - _TOP // 8
    if content[whole:] != _tail(coder) or whole > len(content) or _largest(symbols) != most:
        raise ValueError("it does not end where it should")
    return symbols


def expect(symbols: int) -> None:
    """Say that so many symbols will be decoded: of many, the first are not for Python either."""
    _Worker.loads = _Worker.loads or _Worker.expected(symbols) > LOADING


def most_symbols(size: int) -> int:
    """How many symbols a stream of some bytes can have: each takes part of the interval away."""
    return (size + _TOP // 8) * 23_000


def _largest(symbols: bytes | bytearray) -> int:
    return int(np.frombuffer(symbols, np.uint8).max(initial=0))


def _tail(coder: list[int]) -> bytes:
    """The fewest bytes by which all that may follow, zeros included, stays in the interval."""
    for count in range(_TOP // 8 + 1):
        rest = _TOP - 8 * count
        number = coder[_HIGH] >> rest
        if number << rest >= coder[_LOW]:
            return number.to_bytes(count, "big")
    raise AssertionError("an interval has a number in it")


def _run(coder: list[int], stream: bytearray, symbols: bytearray, rule: tuple[int, ...]) -> int:
    """`_code`, compiled where that is worth it; `coder` is what it then is, as are stream or symbols."""
    width = rule[3]
    if not _Worker.compiles(len(symbols)):
        likely, begun = [1 << _FINE - 1] * _STATES, perf_counter()
        done = _code(coder, stream, symbols, rule, [0] * width, likely, [0] * _STATES, _TABLE)
        _Worker.coded(len(symbols), perf_counter() - begun)
        return done
    numbers, columns = np.array(coder, np.int64), np.zeros(width, np.int64)
    chances, seen = np.full(_STATES, 1 << _FINE - 1, np.int64), np.zeros(_STATES, np.int64)
    bytes_of = [np.frombuffer(content, np.uint8) for content in (stream, symbols)]
    whole = np.array(rule, np.int64), columns, chances, seen, np.array(_TABLE, np.int64)
    found = int(_compiled()(numbers, *bytes_of, *whole))
    coder[:] = numbers.tolist()
    return found


class _Worker:
    """Who codes: Python, until that would take longer than to load the compiler, or on few symbols."""

    seconds, symbols, loads = 0.0, 0, False
    """Of what Python has coded; and whether more is known to come than it should code."""
    guess = 1e-5
    """Seconds of a symbol, before there is one to go by: those that are rarely 0 take several steps."""

    @classmethod
    def compiles(cls, count: int) -> bool:
        """Whether some symbols more are for the compiler."""
        worth = cls.loads or cls.seconds + cls.expected(count) > LOADING
        return count > ALONE and worth and has_numba()

    @classmethod
    def expected(cls, count: int) -> float:
        """Seconds that Python would take for some symbols."""
        return count * (cls.seconds / cls.symbols if cls.symbols else cls.guess)

    @classmethod
    def coded(cls, count: int, seconds: float) -> None:
        """Python has coded some."""
        cls.symbols += count
        cls.seconds += seconds


@cache
def _compiled() -> Any:
    return compiled(_code, cached=True)
