"""Scores and the weights made of them."""

import numpy as np
import pytest
from helpers import weights_of

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.attention import attention_weights, scaled_scores


def pair(rng, t, s, d, b=2, h=3, dtype=np.float64):
    return rng.normal(size=(b, h, t, d)).astype(dtype), rng.normal(size=(b, h, s, d)).astype(dtype)


# ---------------------------------------------------------------- scores


@exercise("scaled_scores")
@pytest.mark.parametrize(("t", "s", "d"), [(3, 5, 4), (5, 2, 3), (1, 4, 1), (0, 3, 2), (3, 0, 2)])
def test_each_score_is_a_scaled_dot_product(rng, t, s, d):
    q, k = pair(rng, t, s, d)
    scale = float(rng.uniform(0.1, 0.9))
    expect.close("scaled_scores(q, k, scale)", np.einsum("bhtd,bhsd->bhts", q, k) * scale)


@exercise("scaled_scores")
def test_scores_by_hand():
    q, k = np.array([[[[1.0, 2.0]]]]), np.array([[[[3.0, 4.0], [-1.0, 0.5]]]])
    expect.close("scaled_scores(q, k, 0.25)", np.array([[[[2.75, 0.0]]]]))


@exercise("scaled_scores")
def test_scores_keep_dtype_and_inputs(rng):
    q, k = pair(rng, 3, 5, 4, dtype=np.float32)
    before = q.copy(), k.copy()
    expect.close("scaled_scores(q, k, 0.5)", np.einsum("bhtd,bhsd->bhts", q, k) * 0.5, 1e-4, 1e-5, np.float32)
    for name, was in zip(["q", "k"], before, strict=True):
        expect.equal(name, was)
    expect.true("not np.shares_memory(scaled_scores(q, k, 1.0), q)", "the result is a new array")


# ---------------------------------------------------------------- weights


@exercise("attention_weights")
@pytest.mark.parametrize(("t", "s", "d"), [(3, 5, 4), (4, 4, 2), (5, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_weights_are_a_softmax_over_the_keys(rng, t, s, d, causal):
    q, k = pair(rng, t, s, d)
    expect.close("attention_weights(q, k, 0.7, causal)", weights_of(q, k, 0.7, causal))


@exercise("attention_weights")
def test_without_a_word_nothing_is_hidden(rng):
    q, k = pair(rng, 3, 4, 2)
    expect.close("attention_weights(q, k, 0.5)", weights_of(q, k, 0.5))


@exercise("attention_weights")
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 4, 5), (1, 1, 4, 5), (2, 1, 1, 5), (4, 5)])
@pytest.mark.parametrize("causal", [False, True])
def test_true_in_the_mask_means_may_attend(rng, shape, causal):
    q, k = pair(rng, 4, 5, 3)
    mask = rng.random(shape) < 0.6
    mask[..., 0] = True
    expect.close("attention_weights(q, k, 0.6, causal, mask)", weights_of(q, k, 0.6, causal, mask))


@exercise("attention_weights")
def test_a_query_that_sees_nothing_gives_zeros(rng):
    q, k = pair(rng, 3, 4, 2)
    mask = np.ones((2, 1, 3, 4), bool)
    mask[1, 0, 2] = False
    found = expect.close("attention_weights(q, k, 0.5, False, mask)", weights_of(q, k, 0.5, False, mask))
    expect.equal("found[1, :, 2]", np.zeros((3, 4)), found=found)
    q, k = pair(rng, 5, 2, 3)
    expect.equal("attention_weights(q, k, 1.0, True)[:, :, :3]", np.zeros((2, 3, 3, 2)))


@exercise("attention_weights")
def test_a_hidden_key_has_no_part_however_well_it_fits(rng):
    q, k = np.ones((1, 1, 2, 2)), np.zeros((1, 1, 3, 2))
    k[0, 0, 2] = 500.0
    mask = np.array([True, True, False])
    expect.equal("attention_weights(q, k, 1.0, False, mask)", np.array([[[[0.5, 0.5, 0.0]] * 2]]))


@exercise("attention_weights")
@pytest.mark.parametrize("size", [1e4, -1e4, 3e3])
@pytest.mark.parametrize("causal", [False, True])
def test_huge_scores_give_no_nan(rng, size, causal):
    q = np.full((1, 1, 3, 1), 1.0, np.float32)
    k = np.array([size, size + 1, size - 2], np.float32).reshape(1, 1, 3, 1)
    expect.close(
        "attention_weights(q, k, 1.0, causal)", weights_of(q, k, 1.0, causal), 1e-4, 1e-5, np.float32
    )


@exercise("attention_weights")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_key_that_fits_badly_is_still_better_than_a_hidden_one(dtype):
    q, k = np.ones((1, 1, 2, 1), dtype), np.array([-1e12, 0.0], dtype).reshape(1, 1, 2, 1)
    mask = np.array([True, False])
    expect.equal("attention_weights(q, k, 1.0, False, mask)", np.array([[[[1, 0]] * 2]], dtype))
    expect.equal("attention_weights(q, k, 1.0, True)", np.array([[[[1, 0], [0, 1]]]], dtype))


@exercise("attention_weights")
@pytest.mark.parametrize("size", [60.0, 400.0])
def test_large_and_small_scores_in_one_row(size):
    q, k = np.ones((1, 1, 1, 1)), np.array([-size, 0.0, size]).reshape(1, 1, 3, 1)
    expect.close("attention_weights(q, k, 1.0)", weights_of(q, k, 1.0), 1e-9, 1e-300)


@exercise("attention_weights")
@pytest.mark.parametrize(("t", "s"), [(0, 3), (3, 0)])
def test_no_queries_or_no_keys(t, s):
    q, k = np.zeros((2, 1, t, 4)), np.zeros((2, 1, s, 4))
    expect.close("attention_weights(q, k, 0.5, True)", np.zeros((2, 1, t, s)))


@exercise("attention_weights")
def test_nothing_given_is_changed(rng):
    q, k = pair(rng, 3, 4, 2, dtype=np.float32)
    mask = rng.random((3, 4)) < 0.5
    before = q.copy(), k.copy(), mask.copy()
    expect.close(
        "attention_weights(q, k, 0.5, True, mask)", weights_of(q, k, 0.5, True, mask), 1e-4, 1e-5, np.float32
    )
    for name, was in zip(["q", "k", "mask"], before, strict=True):
        expect.equal(name, was)
