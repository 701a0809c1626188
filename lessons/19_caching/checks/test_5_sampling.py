"""Sampling: the fewest tokens that hold a probability, and a token by its part."""

import numpy as np
import pytest
from helpers import as_often, quiet, shares

from tinytorch.caching.sampling import Sampling, nucleus, pick
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise

# ---------------------------------------------------------------- nucleus


def fewest(p, top_p):
    """How many of the largest it takes, one after the other."""
    total = 0.0
    for count, share in enumerate(sorted(p, reverse=True), 1):
        total += share
        if total >= top_p:
            return count
    return len(p)


@exercise("nucleus")
@pytest.mark.parametrize(
    ("top_p", "tokens"),
    [(0.1, [2]), (0.5, [2]), (0.5001, [2, 0]), (0.75, [2, 0]), (0.76, [2, 0, 3]), (0.99, [2, 0, 3, 1])],
)
def test_the_fewest_likeliest_first(top_p, tokens):
    p = np.array([0.25, 0.0625, 0.5, 0.1875])
    expect.equal("nucleus(p, top_p)", np.array(tokens))


@exercise("nucleus")
@pytest.mark.parametrize("size", [2, 7, 300])
def test_of_any_distribution(rng, size):
    p = shares(3 * rng.normal(size=size))
    for top_p in (0.05, 0.3, 0.8, 0.95, 0.999):
        count = fewest(p.tolist(), top_p)
        expect.equal("nucleus(p, top_p)", np.argsort(-p)[:count], top_p=top_p)


@exercise("nucleus")
@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_of_many_tokens(rng, spread):
    p = shares(spread * rng.normal(size=6000))
    for top_p in (0.001, 0.5, 0.9, 0.99):
        count = fewest(p.tolist(), top_p)
        expect.equal("nucleus(p, top_p)", np.argsort(-p)[:count], top_p=top_p)


@exercise("nucleus")
@pytest.mark.parametrize("size", [1024, 1025])
def test_of_just_so_many_tokens(rng, size):
    p = shares(rng.normal(size=size))
    for top_p in (0.2, 0.9999):
        count = fewest(p.tolist(), top_p)
        expect.equal("nucleus(p, top_p)", np.argsort(-p)[:count], top_p=top_p)


@exercise("nucleus")
def test_at_least_one_and_at_most_all():
    p = np.array([0.125, 0.75, 0.125])
    expect.equal("nucleus(p, 1e-9)", np.array([1]))
    expect.equal("nucleus(np.array([1.0]), 0.5)", np.array([0]))
    tenth = np.full(10, 0.1)  # they sum to 0.9999999999999999
    expect.equal("sorted(nucleus(tenth, 1.0).tolist())", list(range(10)))
    expect.equal("len(nucleus(tenth, 0.35))", 4)


@exercise("nucleus")
def test_the_probabilities_stay(rng):
    p = shares(rng.normal(size=50))
    before = p.copy()
    expect.value("nucleus(p, 0.7)")
    expect.equal("p", before)


@exercise("nucleus")
def test_the_others_get_nothing(rng):
    logits = 2 * rng.normal(size=40)
    p = shares(logits, 0.8)
    order = np.argsort(-p)[: fewest(p.tolist(), 0.6)]
    want = np.zeros(40)
    want[order] = p[order] / p[order].sum()
    expect.close("Sampling(0.8, top_p=0.6).probabilities(logits)", want, 1e-9, 1e-12)


# ---------------------------------------------------------------- pick


@exercise("pick")
@pytest.mark.parametrize(
    ("u", "token"), [(0.0, 0), (0.2499, 0), (0.25, 1), (0.3, 1), (0.375, 2), (0.9, 2), (0.9999, 2)]
)
def test_the_token_in_whose_part_it_lies(u, token):
    p = np.array([0.25, 0.125, 0.625])
    expect.equal("pick(p, u)", token)


@exercise("pick")
def test_tokens_without_a_part_are_never_picked():
    p = np.array([0.0, 0.5, 0.0, 0.0, 0.5, 0.0])
    for u, token in ((0.0, 1), (0.49, 1), (0.5, 4), (0.99, 4), (1 - 2**-53, 4), (1.0, 4)):
        expect.equal("pick(p, u)", token, u=u)
    tenth = np.r_[np.full(10, 0.1), 0.0]
    for u, token in ((0.95, 9), (1 - 2**-53, 9), (1.0, 9)):
        expect.equal("pick(tenth, u)", token, u=u)


@exercise("pick")
@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0, 1000.0])
def test_parts_are_compared_with_their_sum(scale):
    p = np.array([1.0, 0.0, 2.0, 1.0]) * scale
    for u, token in ((0.0, 0), (0.24, 0), (0.26, 2), (0.74, 2), (0.76, 3), (0.999, 3)):
        expect.equal("pick(p, u)", token, u=u)


@exercise("pick")
def test_all_numbers_are_as_many_as_p_says(rng):
    p = shares(2 * rng.normal(size=7))
    every = ((np.arange(2000) + 0.5) / 2000).tolist()
    counts = np.bincount(expect.value("[pick(p, u) for u in every]"), minlength=7)
    expect.close("counts / 2000", p, 0, 1 / 2000, counts=counts)


@exercise("pick")
def test_tokens_come_as_often_as_they_should(rng):
    logits = 2 * rng.normal(size=6)
    drawn = expect.value("[Sampling(0.7).draw(logits, rng) for _ in range(1500)]", rng=rng)
    counts = np.bincount(drawn, minlength=6)
    what = "tokens come as often as their probabilities say"
    expect.true("as_often(counts, shares(logits, 0.7))", what, counts=counts)


@exercise("pick")
def test_the_only_token():
    expect.equal("pick(np.array([1.0]), 0.7)", 0)
    expect.equal("pick(np.array([0.0, 1.0]), 0.0)", 1)
