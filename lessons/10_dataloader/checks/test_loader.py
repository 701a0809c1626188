"""DataLoader: how many batches, in which order, what is in them, and going on where one stopped."""

import numpy as np
from helpers import Letters, Noted, streams_drawn

from tinytorch.data.dataset import TensorDataset
from tinytorch.data.loader import DataLoader
from tinytorch.data.rng import Purpose, generator
from tinytorch.errors import CheckpointError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise


def numbers(count):
    return TensorDataset(np.arange(count))


def taken(batches):
    """The first field of each batch, as lists."""
    return [np.asarray(batch[0]).tolist() for batch in batches]


# ---------------------------------------------------------------- __len__


@exercise("DataLoader.__len__")
def test_the_last_batch_may_be_short():
    expect.equal("[len(DataLoader(numbers(n), batch_size=4)) for n in (1, 4, 5, 8, 9)]", [1, 1, 2, 2, 3])


@exercise("DataLoader.__len__")
def test_it_is_left_out_on_demand():
    call = "[len(DataLoader(numbers(n), batch_size=4, drop_last=True)) for n in (4, 5, 7, 8)]"
    expect.equal(call, [1, 1, 1, 2])


@exercise("DataLoader.__len__")
def test_batches_of_one_and_of_all():
    expect.equal("len(DataLoader(numbers(7)))", 7)
    expect.equal("len(DataLoader(numbers(7), batch_size=50))", 1)


# ---------------------------------------------------------------- order


@exercise("DataLoader.order")
def test_as_they_come():
    loader = DataLoader(numbers(6))
    expect.equal("np.asarray(loader.order(0))", np.arange(6))
    expect.equal("np.asarray(loader.order(3))", np.arange(6))


@exercise("DataLoader.order")
def test_every_sample_once_in_a_new_order(rng):
    seed = int(rng.integers(2**32))
    loader = DataLoader(numbers(50), shuffle=True, seed=seed)
    expect.equal("sorted(loader.order(0).tolist())", list(range(50)))
    expect.true("loader.order(0).tolist() != list(range(50))", "the samples are shuffled")
    expect.true("loader.order(0).tolist() != loader.order(1).tolist()", "each epoch has an order of its own")


@exercise("DataLoader.order")
def test_a_pure_function_of_seed_and_epoch(rng):
    seed = int(rng.integers(2**32))
    loader, twin = (DataLoader(numbers(50), shuffle=True, seed=seed) for _ in range(2))
    want = loader.order(3).copy()
    expect.value("twin.order(0)")
    expect.equal("twin.order(3)", want)
    expect.equal("twin.order(3)", want)


@exercise("DataLoader.order")
def test_seeds_do_not_run_into_each_other():
    loader, other = (DataLoader(numbers(50), shuffle=True, seed=seed) for seed in (0, 1))
    for a, b in ((0, 0), (1, 0), (0, 1)):
        text = f"loader.order({a}).tolist() != other.order({b}).tolist()"
        expect.true(text, "two seeds share no orders, whatever the epoch")


@exercise("DataLoader.order")
def test_the_order_has_a_key_of_its_own(rng):
    seed = int(rng.integers(2**32))
    loader = DataLoader(numbers(50), shuffle=True, seed=seed)
    expect.equal("streams_drawn(lambda: loader.order(3))", [(seed, int(Purpose.SHUFFLE), 3, 0)])


@exercise("DataLoader.order")
def test_numpys_own_generator_is_left_alone():
    loader = DataLoader(numbers(50), shuffle=True)
    before = np.random.get_state()[1].copy()
    expect.value("loader.order(2)")
    expect.true("(np.random.get_state()[1] == before).all()", "np.random's global state is not touched")


# ---------------------------------------------------------------- _batches


@exercise("DataLoader._batches")
def test_all_batches_of_an_epoch():
    loader = DataLoader(Noted(7), batch_size=3)
    expect.equal("taken(loader._batches(0, 0))", [[100, 101, 102], [103, 104, 105], [106]])
    expect.equal("loader.dataset.asked", [("batch", [0, 1, 2]), ("batch", [3, 4, 5]), ("batch", [6])])


@exercise("DataLoader._batches")
def test_without_a_short_last_one():
    loader = DataLoader(Noted(7), batch_size=3, drop_last=True)
    expect.equal("taken(loader._batches(0, 0))", [[100, 101, 102], [103, 104, 105]])


@exercise("DataLoader._batches")
def test_from_the_middle_on():
    loader = DataLoader(numbers(10), batch_size=2)
    expect.equal("taken(loader._batches(4, 3))", [[6, 7], [8, 9]])
    expect.equal("taken(loader._batches(4, 5))", [])


@exercise("DataLoader._batches")
def test_in_the_order_of_the_epoch(rng):
    loader = DataLoader(numbers(10), batch_size=4, shuffle=True, seed=int(rng.integers(2**32)))
    order = [int(i) for i in loader.order(2)]
    expect.equal("taken(loader._batches(2, 0))", [order[:4], order[4:8], order[8:]])


@exercise("DataLoader._batches")
def test_one_at_a_time():
    loader = DataLoader(Noted(9), batch_size=3)
    batches = expect.value("loader._batches(0, 0)")
    expect.equal("np.asarray(next(batches)[0])", np.array([100, 101, 102]))
    expect.equal("loader.dataset.asked", [("batch", [0, 1, 2])])


@exercise("DataLoader._batches")
def test_a_collate_of_ones_own_gets_samples():
    loader = DataLoader(Letters(5), batch_size=2, collate=lambda samples: (samples,))
    got = expect.value("[[sample[0] for sample in batch[0]] for batch in loader._batches(0, 0)]")
    expect.equal("got", [[0, 1], [2, 3], [4]])
    expect.true("all(type(i) is int for i in loader.dataset.asked)", "samples are fetched by Python ints")


@exercise("DataLoader._batches")
def test_a_transform_gets_the_generator_of_its_batch(rng):
    def note(batch, generator):
        return (batch[0] * 10, generator.random())

    seed = int(rng.integers(2**32))
    loader = DataLoader(numbers(5), batch_size=2, seed=seed, transform=note)
    expect.equal("taken(loader._batches(3, 0))", [[0, 10], [20, 30], [40]])
    want = [generator(seed, Purpose.TRANSFORM, 3, k).random() for k in range(3)]
    expect.close("[batch[1] for batch in loader._batches(3, 0)]", want, rtol=0, atol=0)
    expect.close("[batch[1] for batch in loader._batches(3, 2)]", want[2:], rtol=0, atol=0)


@exercise("DataLoader._batches")
def test_a_transform_comes_after_the_collate():
    loader = DataLoader(
        Letters(4),
        batch_size=2,
        collate=lambda samples: (np.array([i for i, _ in samples]),),
        transform=lambda batch, _: (batch[0] + 0.5,),
    )
    expect.equal("taken(loader._batches(0, 0))", [[0.5, 1.5], [2.5, 3.5]])


# ---------------------------------------------------------------- load_state_dict


def loader_of(seed=5, count=10, size=3):
    return DataLoader(numbers(count), batch_size=size, shuffle=True, seed=seed)


@exercise("DataLoader.load_state_dict")
def test_what_it_takes_over():
    loader = loader_of()
    expect.value("loader.load_state_dict({'epoch': 2, 'batch': 1, 'seed': 9})")
    expect.equal("(loader.epoch, loader.position, loader.seed)", (2, 1, 9))
    expect.equal("loader.state_dict()", {"epoch": 2, "batch": 1, "seed": 9})


@exercise("DataLoader.load_state_dict")
def test_the_rest_of_the_run_is_the_same(rng):
    seed = int(rng.integers(2**32))
    whole = loader_of(seed)
    want = [batch[0].tolist() for _ in range(3) for batch in whole]
    stopped = loader_of(seed)
    seen = 0
    for _ in range(2):
        for batch in stopped:
            seen += 1
            if seen == 6:
                break
    state = stopped.state_dict()
    resumed = loader_of(seed=1)
    expect.value("resumed.load_state_dict(state)")
    expect.equal("[b[0].tolist() for b in resumed] + [b[0].tolist() for b in resumed]", want[6:])


@exercise("DataLoader.load_state_dict")
def test_after_the_last_batch_the_epoch_is_over():
    loader = loader_of()
    expect.value("loader.load_state_dict({'epoch': 0, 'batch': 4, 'seed': 5})")
    expect.equal("len(list(loader))", 0)
    expect.equal("len(list(loader))", 4)


@exercise("DataLoader.load_state_dict")
def test_at_the_very_start():
    loader = loader_of()
    want = [b[0].tolist() for b in loader_of()]
    expect.value("list(loader)")
    expect.value("loader.load_state_dict({'epoch': 0, 'batch': 0, 'seed': 5})")
    expect.equal("[b[0].tolist() for b in loader]", want)


@exercise("DataLoader.load_state_dict")
def test_a_state_that_does_not_fit_changes_nothing():
    loader = loader_of()
    for state in (
        {"epoch": 0, "batch": 5, "seed": 5},
        {"epoch": 0, "batch": -1, "seed": 5},
        {"epoch": -1, "batch": 0, "seed": 5},
        {"epoch": 1, "batch": 1, "seed": -1},
        {"epoch": 1, "batch": 1, "seed": 2**64},
        {"epoch": 1, "batch": 1},
        {"epoch": 1, "batch": 1, "seed": 5, "rank": 0},
    ):
        expect.raises(f"loader.load_state_dict({state})", CheckpointError)
        expect.equal("loader.state_dict()", {"epoch": 0, "batch": 0, "seed": 5})
    for seed in (2**64 - 1, 0):
        expect.value(f"loader.load_state_dict({{'epoch': 0, 'batch': 0, 'seed': {seed}}})")
        expect.equal("loader.seed", seed)
