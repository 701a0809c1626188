"""Ways to code elements: all give back what they were given, each is best at what it is for; bad pieces."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.acceleration.test_compact import MIB, little_memory
from tinytorch.acceleration.artifact import ways
from tinytorch.acceleration.artifact.codings import (
    Layout,
    by_book,
    by_gaps,
    by_map,
    by_planes,
    of_book,
    of_gaps,
    of_map,
    of_planes,
)
from tinytorch.acceleration.artifact.range_coder import encoded
from tinytorch.acceleration.artifact.ways import CODINGS, best_lag, decode, encode, smallest
from tinytorch.acceleration.artifact.words import words

OURS = {
    "range": (by_planes, of_planes),
    "book": (by_book, of_book),
    "gaps": (by_gaps, of_gaps),
    "map": (by_map, of_map),
}
each = pytest.mark.parametrize("coding", OURS)
Array = np.ndarray[Any, Any]


@st.composite
def parts(draw: st.DrawFn) -> tuple[bytes, Layout]:
    """Elements as weights are: dense or sparse, of many values or few, in rows or not."""
    planes = draw(st.sampled_from([1, 2, 4, 8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([0, 1, 2, 5, 60, 400]))
    elements = rng.bytes(count * planes)
    array = np.frombuffer(elements, f"<u{planes}").copy()
    if draw(st.booleans()) and count:
        array = rng.choice(array[: draw(st.sampled_from([1, 3, 50]))], count)
    density = draw(st.sampled_from([0.0, 0.02, 0.2, 1.0]))
    array[rng.random(count) >= density] = 0
    return array.tobytes(), Layout(planes, draw(st.integers(0, 30)), draw(st.integers(0, 31)))


# ---------------------------------------------------------------- there and back


@settings(max_examples=60, deadline=None)
@given(parts())
def test_all_codings_give_back_what_they_were_given(part: tuple[bytes, Layout]) -> None:
    content, layout = part
    for coding in CODINGS if content else ():
        piece = encode(content, (coding, layout))
        if piece is not None and coding != "raw":
            assert bytes(decode(piece, len(content), (coding, layout))) == content
    (coding, found), piece = smallest(content, layout._replace(lag=0))
    assert len(piece) < len(content) or (coding, piece) == ("raw", content)
    if content:
        assert bytes(decode(piece, len(content), (coding, found))) == content


@pytest.mark.parametrize("planes", [1, 2, 4, 8])
def test_gaps_that_are_long(planes: int) -> None:
    for gap in (0, 1, 253, 254, 255, 256, 509, 510, 511, 5000):
        array = np.zeros(6000, f"<u{planes}")
        array[[gap, 2 * gap + 1 if gap < 2000 else 5999]] = 7
        piece = by_gaps(array.tobytes(), Layout(planes))
        assert piece is not None
        assert bytes(of_gaps(piece, array.nbytes, Layout(planes))) == array.tobytes()


def test_books_hold_256_values_and_no_more() -> None:
    values = np.random.default_rng(0).standard_normal(300).astype(np.float32)
    for count in (1, 2, 255, 256, 257):
        content = np.random.default_rng(1).choice(values[:count], 5000).tobytes()
        content += values[:count].tobytes()
        piece = by_book(content, Layout(4))
        assert (piece is None) is (count > 256)
        if piece is not None:
            assert bytes(of_book(piece, len(content), Layout(4))) == content


# ---------------------------------------------------------------- which is smallest


def weights(density: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    columns = rng.random(500) ** 3 * 2
    there = rng.random((100, 500)) < columns * density
    return np.where(there, rng.standard_normal((100, 500)), 0.0).astype(np.float32)


def bound(array: Array) -> float:
    """Bytes of a map of zeros and of the other values, each by how often it is there."""
    _, counts = np.unique(array[array != 0], return_counts=True)
    zeros = array.size - counts.sum()
    both = np.array([zeros, counts.sum()])
    bits = -(both * np.log2(both / array.size)).sum() - (counts * np.log2(counts / counts.sum())).sum()
    return float(bits) / 8


def test_shared_weights_cost_what_codes_cost() -> None:
    array = weights(0.05)
    shared = np.where(array != 0, np.clip(np.rint(array * 4), -7.5, 7.5) / 4 + 0.1, 0).astype(np.float32)
    _, numbers = np.unique(shared, return_inverse=True)
    zero = int(np.searchsorted(np.unique(shared), 0))
    codes = ((numbers - zero) % 256).astype(np.uint8)
    (coding, layout), piece = smallest(shared.tobytes(), Layout(4, 500))
    _, as_codes = smallest(codes.tobytes(), Layout(1, 500))
    assert coding == "book"
    assert layout.width == 500
    assert len(piece) < 1.02 * len(as_codes) + 70  # the book itself
    assert len(piece) < 1.02 * bound(shared)


def test_sparse_weights_that_all_differ_are_a_map_and_their_bytes() -> None:
    array = weights(0.05)
    (coding, _), piece = smallest(array.tobytes(), Layout(4, 500))
    assert coding in ("map", "gaps")
    noise = np.count_nonzero(array) * 3.6
    assert len(piece) < noise + bound((array != 0).astype(np.uint8))


def test_codes_of_pruned_weights() -> None:
    array = np.clip(np.rint(weights(0.1) * 40), -127, 127).astype(np.int8)
    (coding, layout), piece = smallest(array.tobytes(), Layout(1, 500))
    assert (coding, layout.planes) == ("range", 1)
    assert len(piece) < 1.02 * bound(array)
    assert len(piece) < 0.85 * len(ways._by_zstd(array.tobytes()))


def test_long_parts_tell_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.tile(weights(0.05), (10, 1))
    tried = []

    def counted(content: bytes, way: ways.Way) -> bytes | None:
        tried.append(len(content))
        return encode(content, way)

    monkeypatch.setattr(ways, "encode", counted)
    _, piece = smallest(array.tobytes(), Layout(4, 500))
    assert len(piece) < array.nbytes / 10
    assert sum(size == array.nbytes for size in tried) == 2
    assert max(size for size in tried if size < array.nbytes) <= ways.SAMPLE
    tried.clear()
    monkeypatch.setattr(ways, "LONG", 1000)
    smallest(array.tobytes(), Layout(4, 500))
    assert sum(size == array.nbytes for size in tried) == 1


@pytest.mark.parametrize("lag", [2, 7, 28])
def test_the_lag_is_found(lag: int) -> None:
    rng = np.random.default_rng(lag)
    there = rng.random((100, 200)) < 0.2
    there[:, lag:] |= there[:, :-lag] & (rng.random((100, 200 - lag)) < 0.5)
    assert best_lag(there.astype(np.uint8).reshape(-1), 200) == lag
    assert best_lag(np.ones(20_000, np.uint8), 200) == 0


# ---------------------------------------------------------------- pieces that are none


def refusal(coding: str, piece: bytes, size: int, layout: Layout) -> str:
    with little_memory(MIB), pytest.raises(ValueError) as caught:
        OURS[coding][1](piece, size, layout)
    return str(caught.value)


def stream(*symbols: int, times: int = 1) -> bytes:
    found = encoded(bytes(symbols) * times)
    assert found is not None
    return found


def test_books_that_are_none() -> None:
    found = stream(1, 0, 1, 1, times=30)
    numbers = bytes([len(found)]) + found
    for values in ([5, 5], [6, 5]):
        piece = b"\x01\x00" + bytes(values) + numbers
        assert refusal("book", piece, 120, Layout()) == "a book whose values do not ascend"
    assert bytes(of_book(b"\x01\x00\x05\x06" + numbers, 120, Layout()))[:4] == b"\x06\x05\x06\x06"
    assert "value 1 of a book of 1" in refusal("book", b"\x00\x00\x05" + numbers, 120, Layout())
    assert "elements of 3 bytes" in refusal("book", b"\x00" + b"\x00\x05" * 3 + numbers, 120, Layout(3))
    assert "bytes where" in refusal("book", b"", 120, Layout())
    assert "bytes where" in refusal("book", b"\xff\x00", 120, Layout(8))


def test_gaps_that_are_none() -> None:
    def piece(gaps: list[int], elements: bytes) -> bytes:
        return bytes([len(gaps), 0, *gaps, 0, 0]) + elements

    assert bytes(of_gaps(piece([1, 2], b"ab"), 6, Layout())) == b"\0a\0\0b\0"
    assert bytes(of_gaps(piece([1, 3], b"ab"), 6, Layout())) == b"\0a\0\0\0b"
    assert "leads out" in refusal("gaps", piece([1, 4], b"ab"), 6, Layout())
    assert "leads out" in refusal("gaps", piece([255, 0], b"a"), 6, Layout())
    assert "without their elements" in refusal("gaps", piece([1, 255], b"a"), 600, Layout())
    assert "without their elements" in refusal("gaps", piece([0, 0, 0, 0], b"abcd"), 6, Layout())
    assert "an element that is 0" in refusal("gaps", piece([1, 2], b"a\0"), 6, Layout())
    assert "bytes where" in refusal("gaps", piece([1, 2], b"a"), 6, Layout())
    assert "too many" in refusal("gaps", piece([1, 2], b"abc"), 6, Layout())
    assert "a number above 6" in refusal("gaps", bytes([7, 0]) + bytes(20), 6, Layout())
    assert "more bytes than" in refusal("gaps", b"\x81\x00\x00\x01\x00\x00a", 6, Layout())
    assert "in way 2" in refusal("gaps", bytes([1, 0, 0, 2, 0]) + b"a", 6, Layout())


def test_maps_that_are_none() -> None:
    def piece(there: bytes, elements: bytes) -> bytes:
        return bytes([len(there)]) + there + b"\0\0" + elements

    good = stream(1, 0, 0, 0, times=30)
    assert bytes(of_map(piece(good, b"a" * 30), 120, Layout())) == b"a\0\0\0" * 30
    assert "bytes where" in refusal("map", piece(good, b"a" * 29), 120, Layout())
    assert "too many" in refusal("map", piece(good, b"a" * 31), 120, Layout())
    assert "an element that is 0" in refusal("map", piece(good, b"a" * 29 + b"\0"), 120, Layout())
    two = stream(2, 0, 0, 0, times=30)
    assert "other symbols" in refusal("map", piece(two, b"a" * 30), 120, Layout())
    assert "cannot be in" in refusal("map", piece(good, b"a"), 2**40, Layout())


def test_elements_that_cannot_be_there_take_no_memory() -> None:
    assert "cannot be in" in refusal("range", b"\x09\x01" + bytes(8), 2**40, Layout())
    assert "bytes where" in refusal("range", b"\x00abc", 2**40, Layout(8))
    assert "cannot be in" in refusal("book", b"\x01\x00\x05\x06\x09\x01" + bytes(8), 2**40, Layout())


@each
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 500), st.sampled_from([1, 2, 3, 4, 8]), st.integers(0, 30))
@example(b"\x00", 0, 1, 0)
def test_any_bytes_give_elements_or_an_error(
    coding: str, piece: bytes, count: int, planes: int, width: int
) -> None:
    try:
        found = OURS[coding][1](piece, count * planes, Layout(planes, width, 3))
    except ValueError:
        return
    assert len(found) == count * planes


@each
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pieces_that_were_changed(coding: str, data: st.DataObject) -> None:
    array = weights(0.05)[:20, :100].round()
    layout = Layout(4, 100, 2)
    piece = bytearray(OURS[coding][0](array.tobytes(), layout) or b"")
    for _ in range(data.draw(st.integers(1, 3))):
        piece[data.draw(st.integers(0, len(piece) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(len(piece) // 2, len(piece)))
    try:
        found = OURS[coding][1](bytes(piece[:cut]), array.nbytes, layout)
    except ValueError:
        return
    assert len(found) == array.nbytes


# ---------------------------------------------------------------- the dictionary


def test_the_words_never_change() -> None:
    assert hashlib.sha256(words().as_bytes()).hexdigest() == WORDS, (
        "files of version 2 could no longer be read: a new dictionary needs a new version"
    )


WORDS = "249bb234d9fb6c48a874d4945f1decaf2b60d25d51e2fb39bb2b8c63b6693a1a"
