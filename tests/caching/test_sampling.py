"""Sampling against a simple implementation in float64, and at its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.caching import sampling
from tinytorch.caching.sampling import Sampling, kept, log_probability, nucleus, pick, softmax
from tinytorch.errors import GenerationError
from tinytorch.ops.spec import Array

LOGITS = st.lists(st.integers(-240, 240).map(lambda n: n / 8), min_size=1, max_size=30, unique=True)
"""Far enough from each other that no two have the same probability."""


def simple(logits: Array, temperature: float, top_k: int | None, top_p: float | None) -> Array:
    """The probabilities, by definition, for logits of which no two are equal."""
    order = np.argsort(-logits.astype(np.float64))
    if temperature == 0:
        return np.eye(len(logits))[order[0]]
    scaled = logits.astype(np.float64) / temperature
    p = np.exp(scaled - scaled.max())
    if top_k is not None:
        p[order[top_k:]] = 0
    p /= p.sum()
    if top_p is not None:
        total = 0.0
        for i in order:
            p[i] *= total < top_p
            total += p[i]
    return np.asarray(p / p.sum())


@given(
    LOGITS,
    st.sampled_from([0.0, 0.1, 0.7, 1.0, 3.0]),
    st.one_of(st.none(), st.integers(1, 40)),
    st.one_of(st.none(), st.floats(0.01, 1.0)),
)
def test_probabilities_are_those_of_the_definition(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    rows = np.array(logits, np.float32)
    found = Sampling(temperature, top_k, top_p).probabilities(rows)
    expected = simple(rows, temperature, top_k, top_p)
    assert found.dtype == np.float64
    assert abs(found.sum() - 1) < 1e-12
    together = np.sort(simple(rows, temperature or 1.0, top_k, None))[::-1].cumsum()
    if top_p is None or np.abs(together - top_p).min() > 1e-9:  # else rounding decides whether one more stays
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


def test_equal_logits_share_alike_and_top_k_keeps_just_k_of_them() -> None:
    logits = np.array([1, 2, 2, 2, 0, 2], np.float32)
    for k in (1, 2, 3, 4):
        p = Sampling(top_k=k).probabilities(logits)
        assert (p > 0).sum() == k
        assert set(np.flatnonzero(p)) <= {1, 2, 3, 5}
        np.testing.assert_allclose(p[p > 0], 1 / k)
    p = Sampling(top_k=5).probabilities(logits)
    assert p[4] == 0
    assert p[0] > 0


@pytest.mark.parametrize("k", [4, 5, 100])
def test_top_k_of_all_tokens_or_more_leaves_all(k: int) -> None:
    logits = np.array([0.5, 1, 2, 3], np.float32)
    np.testing.assert_array_equal(Sampling(top_k=k).probabilities(logits), softmax(logits))


@pytest.mark.parametrize(
    ("top_p", "tokens"),
    [(1e-9, [1]), (0.5, [1]), (0.500001, [1, 2]), (0.75, [1, 2]), (0.76, [1, 2, 0]), (1.0, [1, 2, 0, 3])],
)
def test_the_fewest_that_together_have_top_p(top_p: float, tokens: list[int]) -> None:
    p = np.array([0.1875, 0.5, 0.25, 0.0625])
    assert nucleus(p, top_p).tolist() == tokens
    found = Sampling(top_p=top_p).probabilities(np.log(p))
    assert np.flatnonzero(found).tolist() == sorted(tokens)


def test_all_tokens_where_rounding_keeps_their_sum_below_top_p() -> None:
    p = np.full(10, 0.1)
    assert np.cumsum(p)[-1] < 1 - 1e-17
    assert sorted(nucleus(p, 1 - 1e-17)) == list(range(10))


@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999999])
@pytest.mark.parametrize("spread", [0.01, 3.0])
def test_a_large_vocabulary(spread: float, top_p: float) -> None:
    logits = (np.random.default_rng(0).standard_normal(5 * sampling.SORTED) * spread).astype(np.float32)
    found = Sampling(top_p=top_p).probabilities(logits)
    np.testing.assert_allclose(found, simple(logits, 1.0, None, top_p), rtol=1e-9)
    some = Sampling(0.8, 2000, top_p).probabilities(logits)
    np.testing.assert_allclose(some, simple(logits, 0.8, 2000, top_p), rtol=1e-9)
    if spread < 1:
        assert (found > 0).sum() > sampling.SORTED * (top_p > 0.2)


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("temperature", [1.0, 1e-3, 1e-40, 5e-324, 1e300])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4, 3e38])
def test_logits_and_temperatures_of_any_size(size: float, temperature: float) -> None:
    logits = np.array([0.25, 1.0, -1.0, 0.5], np.float32) * np.float32(size)
    p = Sampling(temperature).probabilities(logits)
    with np.errstate(over="ignore"):
        expected = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    np.testing.assert_allclose(p, expected / expected.sum(), rtol=1e-12)
    assert p[1] == p.max()


def test_a_logit_of_minus_infinity_is_never_drawn() -> None:
    logits = np.array([-np.inf, 0, -np.inf, 0], np.float32)
    for one in (Sampling(), Sampling(0.5), Sampling(top_k=3), Sampling(top_p=0.9), Sampling(1.0, 2, 0.4)):
        p = one.probabilities(logits)
        assert p[0] == p[2] == 0
        assert p.sum() == 1
    assert Sampling(0).probabilities(logits).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("bad", [[np.nan, 1.0, 2.0], [-np.inf, -np.inf], [np.inf, 1.0]])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_of_which_no_token_follows_are_refused(bad: list[float], temperature: float) -> None:
    with pytest.raises(GenerationError, match="logits"):
        Sampling(temperature).draw(np.array(bad, np.float32), np.random.default_rng(0))


def test_softmax_does_not_mind_a_shift() -> None:
    logits = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(softmax(logits + 1e4), softmax(logits), rtol=1e-11)


@pytest.mark.parametrize("token", [0, 2])
def test_log_probability(token: int) -> None:
    logits = np.array([5, 1004, 1000], np.float32)
    expected = np.array([-999, 0, -4]) - np.log1p(np.exp(-4))
    assert log_probability(logits, token) == pytest.approx(expected[token], rel=1e-14)


# ---------------------------------------------------------------- drawing


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0)), min_size=1, max_size=12).filter(any),
    st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, float(np.nextafter(1, 0))])),
)
def test_a_token_has_the_part_of_its_probability(weights: list[float], u: float) -> None:
    p = np.array(weights) / sum(weights)
    token = pick(p, u)
    assert p[token] > 0
    begin, end = p[:token].sum(), p[: token + 1].sum()
    assert begin - 1e-12 <= u * p.sum() <= end + 1e-12


def test_parts_begin_at_their_lower_end() -> None:
    p = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    just = float(np.nextafter(1, 0))
    assert [pick(p, u) for u in (0.0, 0.2499, 0.25, 0.7499, 0.75, just)] == [1, 1, 3, 3, 4, 4]
    assert pick(p * 8, 0.3) == 3, "parts are relative to the sum"
    assert pick(np.array([1.0]), just) == 0


def test_frequencies_are_probabilities() -> None:
    logits, rng = np.array([0.0, 1.0, 2.0, -1.0], np.float32), np.random.default_rng(11)
    one, count = Sampling(0.8, top_k=3), 4000
    drawn = np.bincount([one.draw(logits, rng) for _ in range(count)], minlength=4)
    p = one.probabilities(logits)
    assert drawn[p == 0].sum() == 0
    chi = ((drawn - count * p)[p > 0] ** 2 / (count * p[p > 0])).sum()
    assert chi < 13.8  # of two degrees of freedom, one in a thousand


@pytest.mark.parametrize("one", [Sampling(0), Sampling(2.0, top_k=1)])
def test_the_likeliest_token_takes_no_random_number(one: Sampling) -> None:
    rng = np.random.default_rng(3)
    assert one.greedy
    assert one.draw(np.array([1.0, 5.0, 5.0]), rng) == 1
    assert rng.random() == np.random.default_rng(3).random()


def test_a_draw_takes_one_random_number() -> None:
    rng = np.random.default_rng(3)
    Sampling(top_k=3, top_p=0.9).draw(np.arange(5.0), rng)
    assert rng.random() == np.random.default_rng(3).random(2)[1]


def test_kept_scales_to_one() -> None:
    assert kept(np.array([0.5, 0.3, 0.2]), np.array([2, 1])).round(12).tolist() == [0, 0.6, 0.4]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"temperature": float("inf")}, "temperature inf"),
        ({"top_k": 0}, "top_k 0"),
        ({"top_k": -3}, "top_k -3"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"top_p": 1.1}, "top_p 1.1"),
        ({"top_p": -1}, "top_p -1"),
        ({"top_p": float("nan")}, "top_p nan"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        Sampling(**wrong)
