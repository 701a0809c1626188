"""DataLoader: every sample once, seeded order, exact resumption, and a thread that ends."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.data import DataLoader, Dataset, TensorDataset, compose, random_crop, random_flip
from tinytorch.data.rng import Purpose, generator
from tinytorch.errors import CheckpointError, DataError
from tinytorch.tensor import Tensor


def numbers(count):
    return TensorDataset(np.arange(count), np.arange(count, dtype=np.float32) / 2)


def pictures():
    pixels = np.random.default_rng(1).random((23, 1, 6, 6), dtype=np.float32)
    return TensorDataset(pixels, np.arange(23))


def taken(loader):
    return [[t.data.copy() for t in batch] for batch in loader]


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name == "tinytorch-prefetch"]


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 45),
    shuffle=st.booleans(),
    drop=st.booleans(),
    prefetch=st.integers(0, 3),
)
@settings(deadline=None)
def test_each_epoch_takes_every_sample_once(count, size, shuffle, drop, prefetch):
    if drop and size > count:
        with pytest.raises(DataError, match="drop_last"):
            DataLoader(numbers(count), size, drop_last=True)
        return
    loader = DataLoader(numbers(count), size, shuffle, drop, prefetch=prefetch)
    for _ in range(2):
        batches = taken(loader)
        assert len(batches) == len(loader) == (count // size if drop else -(-count // size))
        seen = np.concatenate([x for x, _ in batches])
        np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), seen / 2)
        assert len(seen) == (count // size * size if drop else count)
        assert len(set(seen.tolist())) == len(seen)
        if not shuffle:
            assert seen.tolist() == list(range(len(seen)))


def test_batches_are_tensors_with_the_arrays_dtypes():
    x, y = next(iter(DataLoader(numbers(4), 3)))
    assert isinstance(x, Tensor)
    assert x.data.dtype == np.int64
    assert y.data.dtype == np.float32
    assert x.shape == (3,)


def test_order_depends_on_seed_and_epoch_only():
    first, again = (
        DataLoader(numbers(50), 8, shuffle=True, seed=3),
        DataLoader(numbers(50), 50, shuffle=True, seed=3),
    )
    assert first.order(7).tolist() == again.order(7).tolist()
    orders = {
        tuple(DataLoader(numbers(50), 8, True, seed=s).order(e)) for s in (0, 1, 2**63) for e in (0, 1, 2**40)
    }
    assert len(orders) == 9
    assert sorted(first.order(0)) == list(range(50))
    epochs = [np.concatenate([x for x, _ in taken(first)]).tolist() for _ in range(3)]
    assert epochs == [first.order(e).tolist() for e in range(3)]


def make(prefetch=0, seed=5):
    change = compose(random_crop(2), random_flip())
    return DataLoader(pictures(), 4, shuffle=True, seed=seed, transform=change, prefetch=prefetch)


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("stop", [0, 1, 4, 6, 9, 12])
def test_resumed_run_equals_one_never_stopped(stop, prefetch):
    """Stop after `stop` batches (6 an epoch), save, load into a new loader of another seed, go on."""
    whole = make()
    expected = [batch for _ in range(3) for batch in taken(whole)]
    before, state, running = [], make(prefetch).state_dict(), make(prefetch)
    while len(before) < stop:
        for batch in running:
            before.append([t.data.copy() for t in batch])
            state = running.state_dict()
            if len(before) == stop:
                break
    resumed = make(prefetch, seed=99)
    resumed.load_state_dict(state)
    after = []
    for _ in range(3 - resumed.epoch):
        after += taken(resumed)
    assert_same(before + after, expected)


def test_a_run_stopped_after_every_batch():
    whole = make()
    expected = [batch for _ in range(2) for batch in taken(whole)]
    state, pieces = make().state_dict(), []
    for _ in range(2 * (len(whole) + 1)):
        loader = make(seed=0)
        loader.load_state_dict(state)
        for batch in loader:
            pieces.append([t.data.copy() for t in batch])
            break
        state = loader.state_dict()
    assert_same(pieces, expected)
    assert state == whole.state_dict()


def test_streams_of_different_keys_differ():
    keys = [(s, p, a, b) for s in (0, 2**32) for p in Purpose for a in (0, 1, 2**40) for b in (0, 1)]
    assert len({int(generator(*key).integers(2**62)) for key in keys}) == len(keys)


def test_transform_draws_differ_between_batches_and_epochs():
    draws = []

    def note(batch, rng):
        draws.append(int(rng.integers(2**60)))
        return batch

    loader = DataLoader(numbers(6), 2, transform=note)
    for _ in range(2):
        taken(loader)
    assert len(set(draws)) == 6


def test_leaving_early_ends_the_epoch_and_the_thread():
    loader = DataLoader(numbers(100), 1, shuffle=True, prefetch=2)
    for _ in loader:
        break
    assert prefetch_threads() == []
    seen = [int(x.item()) for x, _ in loader]
    assert seen == loader.order(1).tolist()
    assert loader.state_dict() == {"epoch": 2, "batch": 0, "seed": 0}


class Failing(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 4:
            raise KeyError("sample 4 is broken")
        return index


@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_error_in_a_sample_reaches_the_consumer_in_its_place(prefetch):
    batches = iter(DataLoader(Failing(), prefetch=prefetch))
    assert [int(next(batches)[0].item()) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(KeyError, match="sample 4 is broken"):
        next(batches)
    assert prefetch_threads() == []


def test_prefetch_works_ahead_by_its_depth_and_no_more():
    made = []

    def note(batch, rng):
        made.append(len(batch[0]))
        return batch

    iterator = iter(DataLoader(numbers(50), 1, transform=note, prefetch=3))
    next(iterator)
    waited = 0.0
    while len(made) < 5 and waited < 30:  # one taken, three in the queue, one waiting to be put
        time.sleep(0.01)
        waited += 0.01
    time.sleep(0.05)
    assert len(made) == 5
    iterator.close()
    assert prefetch_threads() == []


def test_collate_of_the_user_is_used():
    loader = DataLoader(numbers(4), 2, collate=lambda samples: (np.array([len(samples)]),))
    assert [x.data.tolist() for (x,) in loader] == [[2], [2]]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_ragged_samples(prefetch):
    class Ragged(Failing):
        def __getitem__(self, index):
            return np.zeros(index + 1)

    with pytest.raises(DataError, match="crop or pad"):
        taken(DataLoader(Ragged(), 3, prefetch=prefetch))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": -2}, "at least 1"),
        ({"prefetch": -1}, "prefetch"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(DataError, match=words):
        DataLoader(numbers(3), **options)


def test_empty_data_set():
    with pytest.raises(DataError, match="empty"):
        DataLoader(TensorDataset(np.zeros((0, 3))))


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 0, "batch": 0},
        {"epoch": -1, "batch": 0, "seed": 0},
        {"epoch": 0, "batch": 3, "seed": 0},
        {"epoch": 0, "batch": 0, "seed": -1},
        {"epoch": 0, "batch": 0, "seed": 2**64},
    ],
)
def test_bad_state_changes_nothing(state):
    loader = DataLoader(numbers(4), 2, seed=8)
    with pytest.raises(CheckpointError):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"epoch": 0, "batch": 0, "seed": 8}
