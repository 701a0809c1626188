"""The gate, and the gap that gives away who knows the test data by heart."""

import math

import numpy as np
import pytest

from tinytorch.benchmarking.events import event
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.score import (
    GAP,
    GAP_SURE,
    accuracy_ratio,
    knows_by_heart,
    passes_gate,
    transform_gap,
)
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise

IMAGES, TEXT = event("mlp_sprint"), event("transformer_decathlon")

# ---------------------------------------------------------------- passes_gate


@exercise("passes_gate")
@pytest.mark.parametrize(
    ("quality", "passes"), [(0.9, True), (0.8, True), (0.7921, True), (0.7919, False), (0.1, False)]
)
def test_accuracy_may_fall_by_a_hundredth_of_it(quality, passes):
    expect.equal("passes_gate(IMAGES, quality, 0.8)", passes)


@exercise("passes_gate")
@pytest.mark.parametrize(
    ("quality", "passes"), [(1.9, True), (2.0, True), (2.019, True), (2.021, False), (8.0, False)]
)
def test_bits_may_rise_by_a_hundredth_of_them(quality, passes):
    expect.equal("passes_gate(TEXT, quality, 2.0)", passes)


@exercise("passes_gate")
def test_just_at_the_gate_is_enough():
    expect.equal("passes_gate(IMAGES, IMAGES.gate * 0.5, 0.5)", True)
    expect.equal("passes_gate(TEXT, TEXT.gate * 2.5, 2.5)", True)


@exercise("passes_gate")
def test_nan_passes_no_gate():
    expect.equal("passes_gate(IMAGES, math.nan, 0.8)", False)
    expect.equal("passes_gate(TEXT, math.nan, 2.0)", False)


# ---------------------------------------------------------------- transform_gap


def hits(rng, share, n=2000):
    found = np.zeros(n)
    found[: round(share * n)] = 1.0
    return rng.permutation(found)


@exercise("transform_gap")
def test_what_both_lose_is_no_gap(rng):
    own = hits(rng, 0.9), hits(rng, 0.8)
    expect.close("transform_gap(IMAGES, own, own).log", 0.0, 0, 1e-12)


@exercise("transform_gap")
def test_who_loses_more_has_one(rng):
    own, base = (hits(rng, 0.9), hits(rng, 0.3)), (hits(rng, 0.9), hits(rng, 0.8))
    want = math.log(0.9 / 0.3) - math.log(0.9 / 0.8)
    expect.close("transform_gap(IMAGES, own, base).log", want, 1e-9)
    expect.close("transform_gap(IMAGES, base, own).log", -want, 1e-9)


@exercise("transform_gap")
def test_of_text_bits_grow(rng):
    own = rng.normal(1.0, 0.1, 300), rng.normal(3.0, 0.1, 300)
    base = rng.normal(2.0, 0.1, 300), rng.normal(2.2, 0.1, 300)
    want = math.log(own[1].mean() / own[0].mean()) - math.log(base[1].mean() / base[0].mean())
    expect.close("transform_gap(TEXT, own, base).log", want, 1e-9)


@exercise("transform_gap")
def test_errors_add_up_in_squares(rng):
    own, base = (hits(rng, 0.9), hits(rng, 0.7)), (hits(rng, 0.8, 500), hits(rng, 0.6, 500))
    parts = [accuracy_ratio(IMAGES, *own), accuracy_ratio(IMAGES, *base)]
    found = expect.value("transform_gap(IMAGES, own, base)")
    expect.close("found.error", math.hypot(parts[0].error, parts[1].error), 1e-9, found=found)
    expect.close("found.freedom", 499.0, 1e-9, found=found)
    turned = expect.value("transform_gap(IMAGES, base, own)")
    expect.close("turned.freedom", 499.0, 1e-9, turned=turned)


# ---------------------------------------------------------------- knows_by_heart


@exercise("knows_by_heart")
@pytest.mark.parametrize(
    ("log", "error", "guilty"),
    [
        (2.0, 0.05, True),
        (0.5, 0.1, True),
        (GAP + 0.001, 0.001, True),
        (GAP - 0.001, 0.001, False),
        (GAP + 0.001, 0.02, False),
        (0.4, 0.3, False),
        (0.0, 0.001, False),
        (-2.0, 0.01, False),
    ],
)
def test_a_gap_must_be_large_and_sure(log, error, guilty):
    gap = Ratio(log, error, 1000.0)
    expect.equal("knows_by_heart(gap)", guilty)


@exercise("knows_by_heart")
def test_the_lower_end_decides_how_sure():
    for sure in (GAP_SURE - 0.003, GAP_SURE + 0.003):
        error = (0.2 - sure) / 1.9623
        expect.equal("knows_by_heart(Ratio(0.2, error, 1000.0))", sure > GAP_SURE, error=error)
    expect.equal("knows_by_heart(Ratio(0.5, 0.0, 0.0))", False)
