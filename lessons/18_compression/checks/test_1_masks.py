"""Masks: thresholds, which weights stay, one threshold for all layers, and zeros counted."""

import numpy as np
import pytest
from helpers import lowest, quiet, tied

from tinytorch import nn
from tinytorch.compression.masks import global_masks, mask_of, threshold_of
from tinytorch.compression.prune import sparsity_of
from tinytorch.errors import CompressionError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise

F4 = np.float32

# ---------------------------------------------------------------- threshold_of


@exercise("threshold_of")
@pytest.mark.parametrize("zeros", [1, 2, 5, 11, 12])
def test_the_largest_of_what_goes(rng, zeros):
    scores = rng.permutation(np.linspace(0.1, 1.2, 12))
    expect.close("threshold_of(scores, zeros)", zeros / 10, 1e-9, 0)
    table = scores.reshape(3, 4)
    expect.close("threshold_of(table, zeros)", zeros / 10, 1e-9, 0)


@exercise("threshold_of")
@pytest.mark.parametrize("zeros", [1, 2, 700, 999, 1000])
def test_among_many(rng, zeros):
    scores = rng.permutation(1000).astype(F4)
    expect.equal("threshold_of(scores, zeros)", float(zeros - 1))


@exercise("threshold_of")
def test_equal_scores_count_one_by_one():
    scores = np.array([0.5, 0.1, 0.5, 0.5, 0.9])
    expect.equal("threshold_of(scores, 1)", 0.1)
    expect.equal("threshold_of(scores, 2)", 0.5)
    expect.equal("threshold_of(scores, 4)", 0.5)
    expect.equal("threshold_of(scores, 5)", 0.9)


@exercise("threshold_of")
def test_scores_may_be_below_zero():
    scores = np.array([-3.0, 2.0, -np.inf, 1.0], F4)
    expect.equal("threshold_of(scores, 1)", -np.inf)
    expect.equal("threshold_of(scores, 2)", -3.0)
    expect.equal("threshold_of(scores, 3)", 1.0)


@exercise("threshold_of")
def test_all_is_above_the_threshold_of_no_zeros():
    scores = np.array([[0.5, -7.0], [0.0, 2.0]])
    expect.equal("threshold_of(scores, 0)", -np.inf)


@exercise("threshold_of")
def test_more_zeros_than_scores():
    scores = np.ones((2, 3))
    expect.equal("threshold_of(scores, 6)", 1.0)
    expect.raises("threshold_of(scores, 7)", CompressionError)


@exercise("threshold_of")
def test_no_number_has_no_order():
    scores = np.array([1.0, np.nan, 2.0])
    expect.raises("threshold_of(scores, 1)", CompressionError)
    expect.raises("threshold_of(scores, 0)", CompressionError)


@exercise("threshold_of")
def test_scores_stay_as_they_are(rng):
    scores = rng.normal(size=9)
    before = scores.copy()
    expect.value("threshold_of(scores, 4)")
    expect.equal("scores", before)


# ---------------------------------------------------------------- mask_of


@exercise("mask_of")
@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 3, 1, 2)])
def test_the_lowest_go(rng, shape):
    scores = rng.normal(size=shape)
    for zeros in (1, 5, 11):
        expect.equal("mask_of(scores, zeros)", lowest(scores, zeros), zeros=zeros)


@exercise("mask_of")
def test_of_equal_scores_the_first_go():
    scores = np.array([[0.5, 0.1], [0.5, 0.5], [0.9, 0.5]])
    want = [[False, False], [False, True], [True, True]]
    expect.equal("mask_of(scores, 3)", np.array(want))
    same = np.ones((2, 3))
    expect.equal("mask_of(same, 4)", np.array([[False] * 3, [False, True, True]]))


@exercise("mask_of")
def test_exactly_so_many_go(rng):
    scores = tied(rng, 4, 6)
    for zeros in range(25):
        expect.equal("mask_of(scores, zeros)", lowest(scores, zeros), zeros=zeros)


@exercise("mask_of")
def test_scores_in_any_layout(rng):
    scores = tied(rng, 4, 3).T
    part = tied(rng, 6, 6)[::2, 1::3]
    for zeros in range(1, 6):
        expect.equal("mask_of(scores, zeros)", lowest(scores, zeros), zeros=zeros)
        expect.equal("mask_of(part, zeros)", lowest(part, zeros), zeros=zeros)


@exercise("mask_of")
def test_the_lowest_may_be_minus_infinity():
    scores = np.array([-np.inf, 1.0, -np.inf, 0.5])
    expect.equal("mask_of(scores, 0)", np.array([True, True, True, True]))
    expect.equal("mask_of(scores, 1)", np.array([False, True, True, True]))
    expect.equal("mask_of(scores, 3)", np.array([False, True, False, False]))


@exercise("mask_of")
def test_what_was_scored_stays(rng):
    scores = tied(rng, 3, 3)
    before = scores.copy()
    expect.value("mask_of(scores, 4)")
    expect.equal("scores", before)
    expect.raises("mask_of(scores, 10)", CompressionError)
    scores[1, 1] = np.nan
    expect.raises("mask_of(scores, 4)", CompressionError)


# ---------------------------------------------------------------- global_masks


def all_lowest(scores, zeros):
    """Masks of several arrays by the order of all their scores."""
    places = [(float(v), name, i) for name, array in scores.items() for i, v in enumerate(array.ravel())]
    order = sorted(range(len(places)), key=lambda p: (places[p][0], p))
    masks = {name: np.ones(array.size, bool) for name, array in scores.items()}
    for p in order[:zeros]:
        masks[places[p][1]][places[p][2]] = False
    return {name: masks[name].reshape(array.shape) for name, array in scores.items()}


@exercise("global_masks")
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.7, 0.95])
def test_one_threshold_for_all(rng, sparsity):
    scores = {"z": rng.random((4, 5)), "a": 0.3 * rng.random((3, 2, 2, 2)), "m": 3 * rng.random(6)}
    zeros = round(50 * sparsity)
    expect.equal("global_masks(scores, sparsity)", all_lowest(scores, zeros))
    expect.equal("list(global_masks(scores, sparsity))", ["z", "a", "m"])


@exercise("global_masks")
def test_a_layer_of_small_scores_goes_first():
    scores = {"large": np.array([[3.0, 4.0], [5.0, 6.0]]), "small": np.array([0.1, 0.3, 0.2, 0.4])}
    want = {"large": np.ones((2, 2), bool), "small": np.zeros(4, bool)}
    expect.equal("global_masks(scores, 0.5)", want)


@exercise("global_masks")
def test_equal_scores_of_several_layers(rng):
    scores = {"b": tied(rng, 3, 4), "a": tied(rng, 2, 5), "c": tied(rng, 7)}
    for sparsity in (0.2, 0.45, 0.8):
        zeros = round(29 * sparsity)
        expect.equal("global_masks(scores, sparsity)", all_lowest(scores, zeros), sparsity=sparsity)


@exercise("global_masks")
@pytest.mark.parametrize(
    ("size", "sparsity", "zeros"), [(5, 0.5, 2), (7, 0.5, 4), (10, 0.26, 3), (10, 0.24, 2)]
)
def test_how_many_go_is_rounded_once_for_all(rng, size, sparsity, zeros):
    scores = {"one": rng.random(3), "other": rng.random(size - 3)}
    count = "sum(int((~mask).sum()) for mask in global_masks(scores, sparsity).values())"
    expect.equal(count, zeros)


@exercise("global_masks")
def test_scores_in_any_order_of_memory(rng):
    scores = {"a": tied(rng, 3, 4).T, "b": tied(rng, 5, 2)}
    expect.equal("global_masks(scores, 0.5)", all_lowest(scores, 11))


@exercise("global_masks")
@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.1, 1.5])
def test_a_share_that_is_none(rng, sparsity):
    scores = {"one": rng.random(4)}
    expect.raises("global_masks(scores, sparsity)", CompressionError)


# ---------------------------------------------------------------- sparsity_of


def holed(rng):
    """A convolution and a linear layer with zeros, dead outputs and dead inputs, and what was counted."""
    conv, linear = rng.normal(size=(4, 3, 2, 2)), rng.normal(size=(5, 6))
    conv[1], conv[2] = 0, 0
    conv[:, 2], conv[0, 0, 1, 1] = 0, 0
    linear[:, [0, 2, 5]], linear[3], linear[0, 1] = 0, 0, 1e-30
    net = nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Linear(6, 5))
    for layer, w in ((net[0], conv), (net[2], linear)):
        layer.weight.assign_(w.astype(F4))
        layer.bias.assign_(np.zeros(layer.bias.shape, F4))
    return net, [("0", (4, 3, 2, 2), 48, 24 + 8 + 1, 2, 1), ("2", (5, 6), 30, 6 + 12, 1, 3)]


FIELDS = "[(r.path, r.shape, r.weights, r.zeros, r.dead_outputs, r.dead_inputs) for r in rows]"


@exercise("sparsity_of")
def test_zeros_of_each_layer(rng):
    net, want = holed(rng)
    rows = expect.value("sparsity_of(net)", net=net)
    expect.true("isinstance(rows, tuple)", "a tuple of rows comes back")
    expect.equal(FIELDS, want, rows=rows)


@exercise("sparsity_of")
def test_of_some_layers(rng):
    net, want = holed(rng)
    rows = expect.value("sparsity_of(net, ['2'])", net=net)
    expect.equal(FIELDS, want[1:], rows=rows)
    rows = expect.value("sparsity_of(net, ['2', '0'])", net=net)
    expect.equal(FIELDS, want[::-1], rows=rows)
    expect.raises("sparsity_of(net, ['1'])", CompressionError, net=net)


@exercise("sparsity_of")
def test_biases_do_not_count(rng):
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for layer in (net[0], net[2]):
        layer.weight.assign_(np.ones(layer.weight.shape, F4))
        layer.bias.assign_(np.zeros(layer.bias.shape, F4))
    rows = expect.value("sparsity_of(net)", net=net)
    expect.equal("[(r.zeros, r.weights) for r in rows]", [(0, 12), (0, 6)], rows=rows)


@exercise("sparsity_of")
def test_small_is_not_zero():
    net = nn.Sequential(nn.Linear(3, 2))
    net[0].weight.assign_(np.array([[1e-30, -1e-38, np.nan], [0.0, -0.0, 0.0]], F4))
    rows = expect.value("sparsity_of(net)", net=net)
    expect.equal(FIELDS, [("0", (2, 3), 6, 3, 1, 0)], rows=rows)
