"""Data sets and collate: against plain indexing, and with samples that do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.data import Dataset, Subset, TensorDataset, collate, random_split
from tinytorch.errors import DataError, ShapeError
from tinytorch.tensor import Tensor


class Letters(Dataset):
    """A set with no fast path: (index, letter as a vector)."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, np.full(3, 10.0 * index, dtype=np.float32)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_fast_batch_equals_collated_samples(indices):
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    data = TensorDataset(x, Tensor(np.arange(7, dtype=np.int64)))
    for fast, slow in zip(data.batch(indices), collate([data[i] for i in indices]), strict=True):
        np.testing.assert_array_equal(fast, slow)
        assert fast.dtype == slow.dtype


def test_default_batch_stacks_samples():
    index, vector = Letters().batch([4, 0])
    assert index.dtype == np.int64
    assert index.tolist() == [4, 0]
    assert vector.tolist() == [[40.0] * 3, [0.0] * 3]


def test_subset_of_subset():
    data = Subset(Subset(TensorDataset(np.arange(10)), [9, 7, 5, 3]), np.array([3, 0]))
    assert [int(data[i][0]) for i in range(len(data))] == [3, 9]
    assert data.batch([1, 1, 0])[0].tolist() == [9, 9, 3]


def test_subset_refuses_bad_indices():
    data = TensorDataset(np.arange(4))
    for bad in ([4], [-1]):
        with pytest.raises(DataError, match=r"outside a data set of 4"):
            Subset(data, bad)
    for bad in ([0.5], [[1]]):
        with pytest.raises(DataError, match="list of integers"):
            Subset(data, bad)
    assert len(Subset(data, [])) == 0


def test_tensor_dataset_refuses_what_does_not_fit():
    with pytest.raises(DataError, match="no arrays"):
        TensorDataset()
    with pytest.raises(ShapeError, match="first axis"):
        TensorDataset(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ShapeError):
        TensorDataset(np.float32(1))


def test_collate_dtypes():
    whole, real, flag = collate([(1, 0.5, True), (2, 1.5, False)])
    assert (whole.dtype, real.dtype, flag.dtype) == (np.int64, np.float32, np.bool_)
    assert collate([np.float64(1), np.float64(2)])[0].dtype == np.float64


def test_collate_refuses_ragged_samples():
    with pytest.raises(DataError, match=r"field 1 .*\(2,\), \(3,\)"):
        collate([(0, np.zeros(2)), (1, np.zeros(3))])
    with pytest.raises(DataError, match="fields"):
        collate([(0, 1), (0,)])
    with pytest.raises(DataError, match="no samples"):
        collate([])


@given(st.integers(1, 60), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 2**64 - 1))
def test_a_random_split_takes_every_sample_once(count, weights, seed):
    fractions = [w / sum(weights) for w in weights]
    parts = random_split(TensorDataset(np.arange(count)), fractions, seed)
    assert sorted(i for part in parts for i in part.indices) == list(range(count))
    assert all(abs(len(p) - f * count) <= 1 for p, f in zip(parts, fractions, strict=True))
    again = random_split(TensorDataset(np.arange(count)), fractions, seed)
    assert all(np.array_equal(a.indices, b.indices) for a, b in zip(parts, again, strict=True))


def test_fractions_that_make_no_split():
    data = TensorDataset(np.arange(10))
    for bad in ([], [0.5], [0.5, 0.6], [1.0, 0.0], [1.5, -0.5], [float("nan"), 0.5]):
        with pytest.raises(DataError, match="random_split: fractions"):
            random_split(data, bad)
    assert not np.array_equal(random_split(data, [1.0])[0].indices, random_split(data, [1.0], 1)[0].indices)
