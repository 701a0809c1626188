"""Data sets, subsets, splits and stacking samples."""

import numpy as np
from helpers import Noted, streams_drawn

from tinytorch.data.dataset import Dataset, Subset, TensorDataset, collate, random_split
from tinytorch.data.rng import Purpose
from tinytorch.errors import DataError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- TensorDataset.batch


@exercise("TensorDataset.batch")
def test_rows_in_the_order_asked_for(rng):
    x, y = rng.normal(size=(6, 2, 3)).astype(np.float32), np.arange(10, 16)
    data = TensorDataset(x, y)
    got = expect.value("data.batch([4, 0, 4])")
    expect.true("isinstance(got, tuple) and len(got) == 2", "a batch is a tuple with an array for each field")
    expect.close("data.batch([4, 0, 4])[0]", np.stack([x[4], x[0], x[4]]), dtype=np.float32)
    expect.equal("data.batch([4, 0, 4])[1]", np.array([14, 10, 14]))


@exercise("TensorDataset.batch")
def test_arrays_of_indices_and_one_field():
    data = TensorDataset(np.arange(10, 15))
    expect.equal("data.batch(np.array([1, 3]))[0]", np.array([11, 13]))
    expect.equal("len(data.batch([0]))", 1)
    expect.equal("data.batch([])[0].shape", (0,))


@exercise("TensorDataset.batch")
def test_a_batch_is_a_copy():
    x = np.zeros((3, 2))
    data = TensorDataset(x)
    expect.true("not np.shares_memory(data.batch([0, 1, 2])[0], x)", "changing a batch leaves the data set")


# ---------------------------------------------------------------- Subset.batch


@exercise("Subset.batch")
def test_positions_of_a_subset_count_from_its_own_start():
    data = TensorDataset(np.arange(100, 110))
    some = Subset(data, [7, 1, 4])
    expect.equal("some.batch([2, 0])[0]", np.array([104, 107]))
    expect.equal("some.batch(np.array([1, 1]))[0]", np.array([101, 101]))


@exercise("Subset.batch")
def test_one_call_of_the_data_set():
    data = Noted(9)
    some = Subset(data, [8, 2, 5, 3])
    expect.equal("some.batch([3, 0, 1])[0]", np.array([103, 108, 102]))
    expect.equal("data.asked", [("batch", [3, 8, 2])])


@exercise("Subset.batch")
def test_a_subset_of_a_subset():
    inner = Subset(TensorDataset(np.arange(100, 110)), [9, 8, 7, 6])
    outer = Subset(inner, [3, 0])
    expect.equal("outer.batch([0, 1])[0]", np.array([106, 109]))
    expect.equal("outer.batch([])[0].shape", (0,))


# ---------------------------------------------------------------- random_split


@exercise("random_split")
def test_every_sample_is_in_one_part(rng):
    data, seed = TensorDataset(np.arange(40)), int(rng.integers(2**32))
    parts = expect.value("random_split(data, [0.7, 0.2, 0.1], seed)")
    expect.equal("[len(part) for part in parts]", [28, 8, 4])
    expect.equal("sorted(int(i) for part in parts for i in part.indices)", list(range(40)))
    call = "all(isinstance(part, Subset) and part.dataset is data for part in parts)"
    expect.true(call, "parts are subsets of the data set")


@exercise("random_split")
def test_sizes_are_rounded_and_none_is_lost():
    data = TensorDataset(np.arange(11))
    expect.equal("[len(part) for part in random_split(data, [1 / 3, 1 / 3, 1 / 3])]", [4, 3, 4])
    expect.equal("[len(part) for part in random_split(data, [1.0])]", [11])
    one = TensorDataset(np.arange(1))
    expect.equal("[len(part) for part in random_split(one, [0.1, 0.9])]", [0, 1])


@exercise("random_split")
def test_a_function_of_the_seed(rng):
    data, seed = TensorDataset(np.arange(60)), int(rng.integers(2**32))
    first = random_split(data, [0.5, 0.5], seed)[0].indices
    other = random_split(data, [0.5, 0.5], seed + 1)[0].indices
    expect.equal("random_split(data, [0.5, 0.5], seed)[0].indices", first)
    expect.true("set(first.tolist()) != set(other.tolist())", "another seed gives another split")
    expect.true("set(first.tolist()) != set(range(30))", "the split is at random")
    expect.equal("random_split(data, [0.5, 0.5])[0].indices", random_split(data, [0.5, 0.5], 0)[0].indices)


@exercise("random_split")
def test_the_split_has_a_key_of_its_own(rng):
    data, seed = TensorDataset(np.arange(60)), int(rng.integers(2**32))
    expect.equal(
        "streams_drawn(lambda: random_split(data, [0.5, 0.5], seed))", [(seed, int(Purpose.SPLIT), 0, 0)]
    )


@exercise("random_split")
def test_fractions_that_make_no_split():
    data = TensorDataset(np.arange(10))
    expect.raises("random_split(data, [0.5, 0.6])", DataError)
    expect.raises("random_split(data, [0.5, 0.4])", DataError)
    expect.raises("random_split(data, [1.0, 0.0])", DataError)
    expect.raises("random_split(data, [1.5, -0.5])", DataError)
    expect.raises("random_split(data, [])", DataError)


# ---------------------------------------------------------------- collate


@exercise("collate")
def test_one_array_for_each_field(rng):
    a, b = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    samples = [(a, 1), (b, 0), (a, 2)]
    got = expect.value("collate(samples)")
    expect.true("isinstance(got, tuple) and len(got) == 2", "a batch is a tuple with an array for each field")
    expect.close("collate(samples)[0]", np.stack([a, b, a]), dtype=np.float32)
    expect.equal("collate(samples)[1]", np.array([1, 0, 2]))


@exercise("collate")
def test_numbers_and_tensors():
    expect.close("collate([(0.5, 2), (1.5, 3)])[0]", np.array([0.5, 1.5]), dtype=np.float32)
    expect.close("collate([(0.5, 2), (1.5, 3)])[1]", np.array([2, 3]), dtype=np.int64)
    samples = [(Tensor([1.0, 2.0]),), (Tensor([3.0, 4.0]),)]
    expect.close("collate(samples)[0]", np.array([[1.0, 2.0], [3.0, 4.0]]), dtype=np.float32)


@exercise("collate")
def test_a_sample_that_is_no_tuple():
    expect.equal("len(collate([4, 5, 6]))", 1)
    expect.equal("collate([4, 5, 6])[0]", np.array([4, 5, 6]))
    rows = [np.zeros(2), np.ones(2)]
    expect.close("collate(rows)[0]", np.array([[0.0, 0.0], [1.0, 1.0]]), dtype=np.float64)


@exercise("collate")
def test_a_single_sample_keeps_its_batch_axis():
    expect.equal("collate([(np.zeros((2, 3)), 7)])[0].shape", (1, 2, 3))


@exercise("collate")
def test_samples_that_do_not_stack():
    expect.raises("collate([])", DataError)
    expect.raises("collate([(0, 1), (0,)])", DataError)
    expect.raises("collate([(0, np.zeros(2)), (1, np.zeros(3))])", DataError, "field 1", "(2,)", "(3,)")


@exercise("collate")
def test_the_default_batch_of_a_data_set():
    class Squares(Dataset):
        def __len__(self):
            return 9

        def __getitem__(self, index):
            return index, index**2

    squares = Squares()
    expect.equal("squares.batch([2, 5])[1]", np.array([4, 25]))
