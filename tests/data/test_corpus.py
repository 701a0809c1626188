"""Text windows: each id predicted once, shifted by one, and random ones keyed by the step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.data import DataLoader, RandomWindows, TextCorpus, TextWindows
from tinytorch.errors import DataError


@given(st.integers(2, 80), st.integers(1, 20), st.none() | st.integers(1, 30))
def test_windows_are_slices(length, context, stride):
    ids = np.random.default_rng(0).integers(0, 5000, length)
    if length <= context:
        with pytest.raises(DataError, match="too few"):
            TextWindows(ids, context, stride)
        return
    windows = TextWindows(ids, context, stride)
    starts = range(0, length - context, stride or context)
    assert len(windows) == len(starts)
    xs, ys = windows.batch(range(len(windows)))
    assert xs.dtype == ys.dtype == np.int64
    for i, start in enumerate(starts):
        x, y = windows[i]
        assert x.tolist() == xs[i].tolist() == ids[start : start + context].tolist()
        assert y.tolist() == ys[i].tolist() == ids[start + 1 : start + 1 + context].tolist()


def test_default_stride_predicts_each_id_at_most_once():
    _, y = TextWindows(np.arange(100), 7).batch(range(14))
    assert y.ravel().tolist() == list(range(1, 99))


def test_windows_are_a_sequence():
    windows = TextWindows(b"abcdefg", 2)
    assert [bytes(x.tolist()) for x, _ in windows] == [b"ab", b"cd", b"ef"]
    assert bytes(windows[-1][1].tolist()) == b"fg"
    with pytest.raises(IndexError):
        windows[3]


def test_windows_in_a_loader():
    x, y = next(iter(DataLoader(TextWindows(bytes(range(50)), 4), batch_size=3)))
    assert x.shape == y.shape == (3, 4)
    assert (x.data + 1).tolist() == y.data.tolist()


def test_random_windows_depend_on_seed_and_step_only():
    ids = np.arange(1000)
    windows = RandomWindows(ids, 16, 8, seed=4)
    late = windows.batch(1000)
    x, y = windows.batch(3)
    assert x.shape == y.shape == (8, 16)
    assert (y == x + 1).all()
    assert (np.diff(x) == 1).all()
    np.testing.assert_array_equal(RandomWindows(ids, 16, 8, seed=4).batch(1000)[0], late[0])
    assert not np.array_equal(x, windows.batch(4)[0])
    assert not np.array_equal(x, RandomWindows(ids, 16, 8, seed=5).batch(3)[0])


def test_random_windows_reach_both_ends():
    windows = RandomWindows(np.arange(6), 4, 64)
    x, y = windows.batch(0)
    assert set(x[:, 0].tolist()) == {0, 1}
    assert y.max() == 5


def test_bad_input():
    with pytest.raises(DataError, match="stride"):
        TextWindows(b"abcdef", 2, stride=0)
    with pytest.raises(DataError, match="from 1 up"):
        TextWindows(b"abcdef", 0)
    with pytest.raises(DataError, match="batch_size"):
        RandomWindows(b"abcdef", 2, 0)
    for bad in ([0.5, 1.0, 2.0], [[1, 2], [3, 4]]):
        with pytest.raises(DataError, match="list of integers"):
            TextWindows(bad, 1)
    with pytest.raises(DataError, match="too few"):
        RandomWindows(b"", 2, 1)


def test_corpus_joins_its_files():
    corpus = TextCorpus("x", "train", {"a": b"1\n", "b": b"2\n"})
    assert corpus.text == b"1\n\n2\n"
    assert len(corpus) == 5
    assert "2 files" in repr(corpus)
