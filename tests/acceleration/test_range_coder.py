"""The range coder: what comes back, how short it is, with and without the compiler; streams that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.acceleration.test_compact import MIB, little_memory
from tinytorch.acceleration.artifact import range_coder
from tinytorch.acceleration.artifact.range_coder import decoded, encoded, most_symbols
from tinytorch.acceleration.compiling import has_numba

symbols = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 255]), max_size=200).map(bytes),
    st.integers(0, 1000).map(bytes),
    st.tuples(st.integers(0, 255), st.integers(0, 800)).map(lambda pair: bytes([pair[0]]) * pair[1]),
)
places = {"half": st.integers(-1, 255), "width": st.integers(0, 40), "lag": st.integers(0, 45)}


@pytest.fixture(params=[False, True], ids=["python", "numba"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether streams are coded by compiled code, however short they are."""
    if request.param and not has_numba():
        pytest.skip("numba is not installed")
    few = -1 if request.param else 2**60
    monkeypatch.setattr(range_coder, "LOADING", few)
    monkeypatch.setattr(range_coder, "ALONE", few)
    return bool(request.param)


def by_both(content: bytes, monkeypatch: pytest.MonkeyPatch, **how: int) -> list[bytes | None]:
    found = []
    for few in (2**60, -1):
        monkeypatch.setattr(range_coder, "LOADING", few)
        monkeypatch.setattr(range_coder, "ALONE", few)
        found.append(encoded(content, **how))
    return found


def pruned(rng: np.random.Generator, rows: int, width: int, density: float, kinds: int) -> bytes:
    there = rng.random((rows, width)) < density
    return np.where(there, rng.integers(1, kinds + 1, (rows, width)), 0).astype(np.uint8).tobytes()


def entropy(shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * np.log2(shares)).sum())


# ---------------------------------------------------------------- there and back


@settings(max_examples=200, deadline=None)
@given(symbols, st.fixed_dictionaries(places))
@example(b"", {})
@example(b"\xff", {"width": 1})
@example(bytes(5000) + b"\x01", {})
def test_symbols_come_back(content: bytes, how: dict[str, int]) -> None:
    found = encoded(content, **how)
    if found is None:
        assert content
    else:
        assert len(found) < max(len(content), 2)
        assert decoded(found, len(content), **how) == content


@pytest.mark.skipif(not has_numba(), reason="numba is not installed")
@settings(max_examples=60, deadline=None)
@given(symbols, st.fixed_dictionaries(places))
def test_compiled_it_is_the_same(content: bytes, how: dict[str, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plain, fast = by_both(content, patch, **how)
        assert plain == fast
        if fast is not None:
            assert decoded(fast, len(content), **how) == content


def test_a_long_stream(compiled: bool) -> None:
    content = pruned(np.random.default_rng(0), 60, 500, 0.1, 200)
    found = encoded(content, width=500, lag=7)
    assert found is not None
    assert decoded(found, len(content), width=500, lag=7) == content


def test_python_does_what_is_little_and_the_compiler_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = range_coder._Worker
    monkeypatch.setattr(worker, "seconds", 0.0)
    monkeypatch.setattr(worker, "symbols", 0)
    monkeypatch.setattr(worker, "loads", False)
    assert not worker.compiles(int(0.9 * range_coder.LOADING / worker.guess))
    worker.coded(1000, range_coder.LOADING / 2)
    assert not worker.compiles(900)
    assert worker.compiles(1100) is has_numba()
    worker.coded(1000, range_coder.LOADING)
    assert worker.compiles(range_coder.ALONE + 1) is has_numba()
    assert not worker.compiles(range_coder.ALONE)


def test_of_much_that_is_to_come_python_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = range_coder._Worker
    for name, value in (("seconds", 0.0), ("symbols", 0), ("loads", False)):
        monkeypatch.setattr(worker, name, value)
    range_coder.expect(int(0.9 * range_coder.LOADING / worker.guess))
    assert not worker.compiles(range_coder.ALONE + 1)
    range_coder.expect(int(1.1 * range_coder.LOADING / worker.guess))
    range_coder.expect(1)
    assert worker.compiles(range_coder.ALONE + 1) is has_numba()
    assert not worker.compiles(range_coder.ALONE)


# ---------------------------------------------------------------- how short


@pytest.mark.parametrize(("density", "kinds"), [(0.05, 16), (0.3, 15), (0.5, 200), (1.0, 90)])
def test_streams_are_as_short_as_symbols_are_surprising(density: float, kinds: int) -> None:
    rng = np.random.default_rng(1)
    content = pruned(rng, 300, 200, density, kinds)
    found = encoded(content, width=200)
    assert found is not None
    bits = len(content) * entropy(np.bincount(np.frombuffer(content, np.uint8)).astype(float))
    learning = kinds * math.log2(len(content)) / 2  # half a logarithm for each likelihood that is learnt
    assert 0.97 * bits / 8 < len(found) < (1.01 * bits + learning) / 8 + 100


def test_columns_that_are_dead_cost_little() -> None:
    rng = np.random.default_rng(2)
    alive = rng.random(400) < 0.3
    there = (rng.random((200, 400)) < 0.3) & alive
    content = there.astype(np.uint8).tobytes()
    shares = there.mean(0)
    best = (
        sum(entropy(np.array([share, 1 - share])) for share in shares) * 200 / 8
    )  # each column's own share known
    flat = entropy(np.array([there.mean(), 1 - there.mean()])) * there.size / 8
    wide, none = encoded(content, width=400), encoded(content)
    assert wide is not None
    assert none is not None
    assert flat > 1.5 * best
    assert len(wide) < 1.08 * best
    assert len(none) > 0.95 * flat


def test_neighbours_that_are_alike_tell_of_each_other() -> None:
    rng = np.random.default_rng(3)
    rows = rng.random((300, 30)) < 0.3
    there = np.concatenate([rows, rows ^ (rng.random(rows.shape) < 0.05)], axis=1)  # the same again, nearly
    signs = np.where(rng.random(rows.shape) < 0.5, 1, 200)
    content = (there * np.concatenate([signs, signs], axis=1)).astype(np.uint8).tobytes()
    far, none = encoded(content, width=60, lag=30), encoded(content, width=60)
    assert far is not None
    assert none is not None
    assert len(far) < 0.75 * len(none)


def test_what_is_certain_costs_next_to_nothing_but_something() -> None:
    content = bytes([7]) * 100_000
    found = encoded(content)
    assert found is not None
    assert 20 < len(found) < 150
    assert len(content) < most_symbols(len(found))
    assert encoded(bytes(10**6)) == b"\0"


# ---------------------------------------------------------------- streams that are none


GOOD = pruned(np.random.default_rng(4), 20, 30, 0.3, 9)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_stream_that_was_changed_is_refused_or_that_of_other_symbols(data: st.DataObject) -> None:
    stream = bytearray(encoded(GOOD, width=30) or b"")
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    refused_or_written(bytes(stream), len(GOOD))


def refused_or_written(stream: bytes, count: int) -> None:
    """Fail where two streams are read as the same symbols."""
    try:
        found = bytes(decoded(stream, count, width=30))
    except ValueError:
        return
    assert encoded(found, width=30) == stream


def test_symbols_have_one_stream(compiled: bool) -> None:
    stream = encoded(GOOD, width=30)
    assert stream is not None
    for length in range(len(stream)):
        refused_or_written(stream[:length], len(GOOD))
    for more in (b"\0", b"\xff", bytes(20)):
        with pytest.raises(ValueError, match="end"):
            decoded(stream + more, len(GOOD), width=30)
    for count in (0, 1, len(GOOD) - 1, len(GOOD) + 1, 10 * len(GOOD)):
        refused_or_written(stream, count)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 300), st.fixed_dictionaries(places))
def test_any_bytes_are_refused_or_those_that_are_written(
    stream: bytes, count: int, how: dict[str, int]
) -> None:
    try:
        found = bytes(decoded(stream, count, **how))
    except ValueError:
        return
    assert len(found) == count
    assert encoded(found, **how) in (stream, None)


def test_symbols_of_more_than_a_byte(compiled: bool) -> None:
    symbols = [256, 0, 3, 0] * 30  # the tree of eight bits has a leaf for 256
    coder, stream = [0, 2**40 - 1, 0, 0, 200, 0], bytearray(200)
    states = range_coder._STATES
    rule, likely = (256, 8, 127, 4, 0), [1 << 21] * states
    range_coder._code(coder, stream, symbols, rule, [0] * 4, likely, [0] * states, range_coder._TABLE)
    content = b"\xff" + bytes(stream[: coder[3]]) + range_coder._tail(coder)
    with pytest.raises(ValueError, match="a symbol that is too large"):
        decoded(content, len(symbols), width=4)


def test_symbols_that_cannot_be_there_take_no_memory() -> None:
    with little_memory(MIB), pytest.raises(ValueError, match="cannot be in 9 bytes"):
        decoded(b"\x01" + bytes(8), 2**40)
    with pytest.raises(ValueError, match="bytes too many"):
        decoded(b"\0\0", 5)
    with pytest.raises(ValueError, match="without a byte"):
        decoded(b"", 5)
