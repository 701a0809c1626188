"""Masks: exactly as many zeros as asked for, the right ones, and held through whatever changes weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinytorch as tt
from tinytorch import nn
from tinytorch.compression.masks import (
    Masks,
    block_mask,
    count_of_zeros,
    global_masks,
    mask_of,
    n_m_mask,
    prunable,
    threshold_of,
)
from tinytorch.errors import CompressionError

SCORES = arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0, 4, width=16)
)


@pytest.mark.parametrize("sparsity", [0, 1, -0.1, 1.5, np.nan])
def test_a_sparsity_outside_is_refused(sparsity: float) -> None:
    with pytest.raises(CompressionError, match="above 0 and below 1"):
        count_of_zeros(10, sparsity)


@given(SCORES, st.floats(0.01, 0.99))
def test_a_mask_takes_the_lowest_and_no_more(scores: np.ndarray, sparsity: float) -> None:
    zeros = count_of_zeros(scores.size, sparsity)
    mask = mask_of(scores, zeros)
    assert int((~mask).sum()) == zeros
    order = np.argsort(scores, axis=None, kind="stable")
    wanted = np.ones(scores.size, bool)
    wanted[order[:zeros]] = False
    np.testing.assert_array_equal(mask.reshape(-1), wanted)
    if zeros:
        assert threshold_of(scores, zeros) == np.sort(scores, axis=None)[zeros - 1]


def test_a_mask_of_scores_that_do_not_lie_row_by_row() -> None:
    scores = np.array([[1.0, 1.0, 2.0], [1.0, 1.0, 0.0]]).T
    np.testing.assert_array_equal(mask_of(scores, 3), mask_of(scores.copy(), 3))
    assert int((~mask_of(scores, 3)).sum()) == 3


@given(st.lists(SCORES, min_size=1, max_size=4), st.floats(0.01, 0.99))
def test_one_threshold_for_all_layers(scores: list[np.ndarray], sparsity: float) -> None:
    named = {str(i): s for i, s in enumerate(scores)}
    masks = global_masks(named, sparsity)
    flat = np.concatenate([s.reshape(-1) for s in scores])
    wanted = np.ones(flat.size, bool)
    wanted[np.argsort(flat, kind="stable")[: round(flat.size * sparsity)]] = False
    np.testing.assert_array_equal(np.concatenate([m.reshape(-1) for m in masks.values()]), wanted)
    assert {k: m.shape for k, m in masks.items()} == {k: s.shape for k, s in named.items()}


def test_scores_that_have_no_order_are_refused() -> None:
    with pytest.raises(CompressionError, match="NaN"):
        mask_of(np.array([1.0, np.nan]), 1)
    with pytest.raises(CompressionError, match="3 zeros of 2"):
        mask_of(np.ones(2), 3)


@given(
    arrays(np.float32, (4, 3, 8), elements=st.floats(-4, 4, width=16)),
    st.sampled_from([(1, 2), (2, 4), (3, 8)]),
)
def test_n_of_each_run_of_m_stay(scores: np.ndarray, pattern: tuple[int, int]) -> None:
    n, m = pattern
    mask = n_m_mask(scores, n, m)
    runs, kept = scores.reshape(-1, m), mask.reshape(-1, m)
    assert (kept.sum(1) == n).all()
    for run, keep in zip(runs, kept, strict=True):
        assert run[keep].min() >= run[~keep].max()


@pytest.mark.parametrize("pattern", [(0, 4), (4, 4), (2, 3)])
def test_a_pattern_that_does_not_fit_is_refused(pattern: tuple[int, int]) -> None:
    with pytest.raises(CompressionError, match="pattern"):
        n_m_mask(np.ones((2, 8)), *pattern)


@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 8), st.integers(1, 3))
def test_blocks_go_as_a_whole(n: int, k: int, outputs: int, inputs: int) -> None:
    scores = np.random.default_rng(n * 100 + k).random((n, k))
    mask = block_mask(scores, 0.5, outputs, inputs)
    means, kept = [], []
    for i in range(0, n, outputs):
        for j in range(0, k, inputs):
            block = mask[i : i + outputs, j : j + inputs]
            assert block.all() or not block.any()
            means.append((scores[i : i + outputs, j : j + inputs] ** 2).mean())
            kept.append(block.all())
    assert kept.count(False) == round(len(kept) / 2)
    if any(kept) and not all(kept):
        assert min(m for m, k in zip(means, kept, strict=True) if k) >= max(
            m for m, k in zip(means, kept, strict=True) if not k
        )


def test_masks_hold_weights_and_leave_biases() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    masks = Masks(model, {"0": np.eye(3, 4, dtype=bool)})
    masks.apply()
    np.testing.assert_array_equal(model[0].weight.data != 0, np.eye(3, 4, dtype=bool))
    assert masks.sparsity == 0.75
    assert (model[2].weight.data != 0).all()
    assert not np.signbit(model[0].weight.data[~np.eye(3, 4, dtype=bool)]).any(), "zeros of one form only"
    assert "0 75.0%" in repr(masks)


def test_a_compiled_apply_follows_new_masks() -> None:
    layer = nn.Linear(4, 3)
    masks = Masks(layer, {"": np.ones((3, 4), bool)})
    hold = tt.compile(masks.apply)
    hold()
    hold()
    assert (layer.weight.data != 0).all()
    masks.replace({"": np.eye(3, 4, dtype=bool)})
    hold()
    np.testing.assert_array_equal(layer.weight.data != 0, np.eye(3, 4, dtype=bool))
    np.testing.assert_array_equal(masks[""], np.eye(3, 4, dtype=bool))


def test_masks_of_what_is_zero_already() -> None:
    layer = nn.Linear(4, 3)
    layer.weight.assign_(0.0, at=(slice(0, 1),))
    model = nn.Sequential(layer)
    assert Masks.of_zeros(model).sparsity == pytest.approx(1 / 3)


def test_masks_that_do_not_fit_are_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(CompressionError, match=r"\(4, 3\) for the weight \(3, 4\) of layer '0'"):
        Masks(model, {"0": np.ones((4, 3), bool)})
    with pytest.raises(CompressionError, match="no layer 'head'"):
        Masks(model, {"head": np.ones((3, 4), bool)})
    with pytest.raises(CompressionError, match="weight"):
        Masks(model, {"0": np.ones((3, 4), bool)}).replace({"0": np.ones((1, 1), bool)})


def test_embeddings_and_what_shares_their_weight_are_not_prunable() -> None:
    from tinytorch.models import GPT

    model = GPT(vocab_size=10, context=8, width=16, layers=1, heads=2)
    assert "head" not in prunable(model)
    assert "blocks.0.mlp.fc1" in prunable(model)
