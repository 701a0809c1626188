"""Removal: channels out of all arrays that have a part of them, and the smaller model that is left."""

import numpy as np
import pytest
from helpers import Net, arrays_of, quiet, stirred

from tinytorch.autograd import no_grad
from tinytorch.compression.dependencies import Use
from tinytorch.compression.removal import remove, remove_channels
from tinytorch.compression.structure import shrink
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import MLP
from tinytorch.tensor import Tensor

F4 = np.float32

# ---------------------------------------------------------------- remove_channels


def channels(*numbers):
    """Channel numbers, an entry each."""
    return np.array(numbers, np.int64)


def block(rng):
    """Arrays of a convolution with batch norm, what reads it, and the uses of its three channels 4, 5, 6."""
    arrays = {
        "conv.weight": rng.normal(size=(3, 2, 2, 2)),
        "conv.bias": rng.normal(size=3),
        "bn.weight": rng.normal(size=3),
        "bn.bias": rng.normal(size=3),
        "bn.running_mean": rng.normal(size=3),
        "bn.running_var": rng.random(3),
        "next.weight": rng.normal(size=(4, 3, 3, 3)),
        "next.bias": rng.normal(size=4),
    }
    uses = [Use(name, 0, channels(4, 5, 6)) for name in list(arrays)[:6]]
    return arrays, [*uses, Use("next.weight", 1, channels(4, 5, 6), reads=True)]


def gone(*numbers, count=7):
    """Which of `count` channels are removed."""
    found = np.zeros(count, bool)
    found[list(numbers)] = True
    return found


@exercise("remove_channels")
@pytest.mark.parametrize(("out", "kept"), [((5,), [0, 2]), ((4,), [1, 2]), ((6,), [0, 1]), ((4, 6), [1])])
def test_a_filter_and_all_that_belongs_to_it(rng, out, kept):
    arrays, uses = block(rng)
    removed = gone(*out)
    want = {name: array[kept] for name, array in arrays.items() if not name.startswith("next")}
    want |= {"next.weight": arrays["next.weight"][:, kept], "next.bias": arrays["next.bias"]}
    expect.equal("remove_channels(arrays, uses, removed)", want)


@exercise("remove_channels")
def test_nothing_goes(rng):
    arrays, uses = block(rng)
    removed = gone(0, 3)
    expect.equal("remove_channels(arrays, uses, removed)", arrays)


@exercise("remove_channels")
def test_runs_of_columns_after_a_flatten(rng):
    arrays = {"conv": rng.normal(size=(3, 1, 1, 1)).astype(F4), "fc": rng.normal(size=(2, 12)).astype(F4)}
    uses = [Use("conv", 0, channels(0, 1, 2)), Use("fc", 1, np.repeat(channels(0, 1, 2), 4))]
    removed = gone(1, count=3)
    want = {"conv": arrays["conv"][[0, 2]], "fc": arrays["fc"][:, [0, 1, 2, 3, 8, 9, 10, 11]]}
    expect.equal("remove_channels(arrays, uses, removed)", want)


@exercise("remove_channels")
def test_channels_that_lie_apart(rng):
    arrays = {"w": rng.normal(size=(2, 6)), "v": rng.normal(size=(5, 2))}
    uses = [Use("w", 1, channels(2, 0, 1, 1, 2, 0)), Use("v", 0, channels(1, 2, 0, 2, 1))]
    removed = gone(1, count=3)
    want = {"w": arrays["w"][:, [0, 1, 4, 5]], "v": arrays["v"][[1, 2, 3]]}
    expect.equal("remove_channels(arrays, uses, removed)", want)


@exercise("remove_channels")
def test_entries_of_no_channel_stay(rng):
    arrays = {"w": rng.normal(size=(5, 2))}
    uses = [Use("w", 0, channels(-1, 0, -1, 1, 2))]
    removed = gone(2, count=3)
    expect.equal("remove_channels(arrays, uses, removed)", {"w": arrays["w"][:4]})
    removed = gone(0, 1, count=3)
    expect.equal("remove_channels(arrays, uses, removed)", {"w": arrays["w"][[0, 2, 4]]})


@exercise("remove_channels")
def test_both_axes_of_one_array(rng):
    arrays = {"w": rng.normal(size=(3, 4)), "other": rng.normal(size=2)}
    uses = [Use("w", 1, channels(3, 4, 5, 6)), Use("w", 0, channels(0, 1, 2))]
    removed = gone(1, 3, 6)
    want = {"w": arrays["w"][[0, 2]][:, [1, 2]], "other": arrays["other"]}
    expect.equal("remove_channels(arrays, uses, removed)", want)
    square = {"w": rng.normal(size=(3, 3))}
    uses = [Use("w", 0, channels(0, 1, 2)), Use("w", 1, channels(0, 1, 2))]
    removed = gone(0, count=3)
    expect.equal("remove_channels(square, uses, removed)", {"w": square["w"][1:, 1:]})


@exercise("remove_channels")
def test_what_was_given_stays(rng):
    arrays, uses = block(rng)
    before, removed = {name: array.copy() for name, array in arrays.items()}, gone(5)
    expect.value("remove_channels(arrays, uses, removed)")
    expect.equal("arrays", before)
    expect.equal("removed", gone(5))


@exercise("remove_channels")
def test_dtypes_and_order_in_memory(rng):
    arrays = {"w": rng.normal(size=(4, 6)).astype(F4), "codes": np.arange(4, dtype=np.int8)}
    uses = [Use("w", 1, channels(0, 0, 1, 1, 2, 2)), Use("codes", 0, channels(0, 1, 2, -1))]
    removed = gone(1, count=3)
    expect.equal(
        "[a.dtype.name for a in remove_channels(arrays, uses, removed).values()]", ["float32", "int8"]
    )
    text = "remove_channels(arrays, uses, removed)['w'].flags.c_contiguous"
    expect.true(text, "what was cut is an array of its own, row after row")


# ---------------------------------------------------------------- models


def run(model, x):
    """The model's results as an array."""
    with no_grad():
        return model(Tensor(x)).numpy()


@exercise("remove_channels")
@pytest.mark.parametrize(
    ("removed", "readers"),
    [
        ({"conv1": [1, 3]}, {"conv2.weight": [1, 3]}),
        ({"conv2": [2]}, {"fc1.weight": list(range(32, 48))}),
        ({"fc1": [0, 5]}, {"fc2.weight": [0, 5]}),
        ({"conv1": [0], "conv2": [0, 3]}, {"conv2.weight": [0], "fc1.weight": [*range(16), *range(48, 64)]}),
    ],
)
def test_a_smaller_model_gives_what_remains(rng, removed, readers):
    net = stirred(Net(int(rng.integers(100))), rng)
    x = rng.normal(size=(3, 2, 6, 6)).astype(F4)
    small = expect.value("remove(net, Tensor(x), removed)", net=net)
    got = run(small, x)
    for name, columns in readers.items():
        w = dict(net.named_parameters())[name]
        zeroed = w.numpy().copy()
        zeroed[:, columns] = 0
        w.assign_(zeroed)
    expect.close("got", run(net, x), 1e-4, 1e-5, got=got)


@exercise("remove_channels")
def test_all_shapes_of_a_smaller_model(rng):
    net = stirred(Net(1), rng)
    x = rng.normal(size=(1, 2, 6, 6)).astype(F4)
    before = arrays_of(net)
    small = expect.value("remove(net, Tensor(x), {'conv2': [1]})", net=net)
    after = arrays_of(small)
    left, columns = [0, 2, 3], [*range(16), *range(32, 64)]
    want = dict(before)
    for name in before:
        if name.startswith(("conv2", "bn2")):
            want[name] = before[name][left]
    want["fc1.weight"] = before["fc1.weight"][:, columns]
    expect.equal("after", want, after=after)


@exercise("remove_channels")
def test_half_of_the_neurons(rng):
    model = MLP((6, 8, 8, 3))
    small = expect.value("shrink(model, None, 0.5).model", model=model)
    shapes = [layer.weight.shape for layer in (small.layers[0], small.layers[2], small.layers[4])]
    expect.equal("shapes", [(4, 6), (4, 4), (3, 4)], shapes=shapes)
    trained = run(small.eval(), rng.normal(size=(2, 6)).astype(F4))
    expect.true("np.isfinite(trained).all()", "an ordinary model comes out, which runs", trained=trained)
