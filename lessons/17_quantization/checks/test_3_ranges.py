"""Ranges: what is cut off at either side, and what loses least."""

import numpy as np
import pytest
from helpers import lost, quiet

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.quantization.ranges import RANGES, mse_range, percentile_range

F4 = np.float32


def at(values, percent):
    """The value below which `percent` of them lie, between two of them where need be."""
    values = sorted(values.astype(float).tolist())
    place = percent / 100 * (len(values) - 1)
    below = min(int(place), len(values) - 2)
    return values[below] + (place - below) * (values[below + 1] - values[below])


# ---------------------------------------------------------------- percentile_range


@exercise("percentile_range")
@pytest.mark.parametrize("percent", [50.0, 80.0, 90.0, 99.0, 99.9])
def test_half_of_the_rest_goes_at_either_side(rng, percent):
    values = rng.gamma(2.0, size=501).astype(F4)
    low, high = float(values.min()), float(values.max())
    want = at(values, (100 - percent) / 2), at(values, 100 - (100 - percent) / 2)
    expect.close("percentile_range(values, low, high, percent)", want, 1e-5, 1e-6)


@exercise("percentile_range")
def test_all_of_them(rng):
    values = rng.normal(size=30).astype(F4)
    want = float(values.min()), float(values.max())
    expect.close("percentile_range(values, -9.0, 9.0, 100.0)", want, 1e-6, 1e-7)


@exercise("percentile_range")
def test_most_of_them_unless_told(rng):
    values = rng.normal(size=4000).astype(F4)
    low, high = float(values.min()), float(values.max())
    want = at(values, 0.005), at(values, 99.995)
    expect.close("percentile_range(values, low, high)", want, 1e-5, 1e-6)


@exercise("percentile_range")
def test_values_are_interpolated_between():
    values = np.array([3.0, 0.0, 1.0, 2.0, 4.0], F4)
    expect.close("percentile_range(values, 0.0, 4.0, 90.0)", (0.2, 3.8), 1e-6, 1e-6)
    expect.close("percentile_range(values, 0.0, 4.0, 65.0)", (0.7, 3.3), 1e-6, 1e-6)


@exercise("percentile_range")
def test_what_was_seen_has_no_say(rng):
    values = rng.normal(3.0, 1.0, size=300).astype(F4)
    want = at(values, 5), at(values, 95)
    expect.close("percentile_range(values, -100.0, 100.0, 90.0)", want, 1e-5, 1e-6)
    expect.close("percentile_range(values, 3.0, 3.1, 90.0)", want, 1e-5, 1e-6)


@exercise("percentile_range")
def test_an_outlier_is_cut_off(rng):
    values = rng.uniform(-1, 1, size=50_000).astype(F4)
    values[7] = 1000.0
    low, high = expect.value("percentile_range(values, -1.0, 1000.0)")
    expect.true(
        "-1 <= low < -0.99 and 0.99 < high <= 1", "the range is that of the others", low=low, high=high
    )
    before = values.copy()
    expect.value("percentile_range(values, -1.0, 1000.0)")
    expect.equal("values", before)


# ---------------------------------------------------------------- mse_range


@exercise("mse_range")
@pytest.mark.parametrize("steps", [1, 10, 80])
def test_the_share_that_loses_least(rng, steps):
    for values in (
        rng.normal(size=3000),
        rng.standard_t(3, size=3000),
        rng.laplace(size=3000) + 0.5,
        np.abs(rng.standard_t(4, size=3000)),
        -rng.gamma(1.0, size=3000),
    ):
        values = values.astype(F4)
        low, high = float(values.min()), float(values.max())
        expect.equal("lost(mse_range(values, low, high, steps), values, low, high, steps)", "")


@exercise("mse_range")
def test_eighty_shares_unless_told(rng):
    values = rng.normal(size=4000).astype(F4)  # whose best share is about 40 of 80
    expect.equal("lost(mse_range(values, -7.0, 8.0), values, -7.0, 8.0, 80)", "")


@exercise("mse_range")
def test_far_values_that_are_many_are_worth_a_code(rng):
    values = np.concatenate([rng.normal(size=2000), rng.normal(50, 1, size=2000)]).astype(F4)
    low, high = float(values.min()), float(values.max())
    expect.equal("lost(mse_range(values, low, high, 40), values, low, high, 40)", "")


@exercise("mse_range")
def test_both_ends_are_those_that_were_seen(rng):
    values = rng.normal(size=2000).astype(F4)
    low, high = -3.0, 40.0
    expect.equal("lost(mse_range(values, low, high, 50), values, low, high, 50)", "")
    low, high = -60.0, 2.0
    expect.equal("lost(mse_range(values, low, high, 50), values, low, high, 50)", "")


@exercise("mse_range")
def test_the_smallest_share_is_tried_too(rng):
    values = rng.uniform(-1, 1, size=2000).astype(F4)
    expect.close("mse_range(values, -10.0, 10.0, 10)", (-1.0, 1.0), 1e-6, 0)


@exercise("mse_range")
def test_there_are_256_codes():
    values = np.array([256.0, 256.0, 256.0, 1.0, 1.0], F4)  # one step beyond 0 .. 255, the half of the range
    expect.close("mse_range(values, 0.0, 510.0, 2)", (0.0, 510.0), 1e-6, 0)
    values = -values
    expect.close("mse_range(values, -510.0, 0.0, 2)", (-510.0, 0.0), 1e-6, 0)
    values = np.array([255.0, 255.0, 255.0, 1.0, 1.0], F4)
    expect.close("mse_range(values, 0.0, 510.0, 2)", (0.0, 255.0), 1e-6, 0)
    values = -values
    expect.close("mse_range(values, -510.0, 0.0, 2)", (-255.0, 0.0), 1e-6, 0)


@exercise("mse_range")
def test_an_outlier_that_costs_more_than_all_others(rng):
    values = np.append(rng.uniform(-1, 1, size=5000), 1000.0).astype(F4)
    low, high = -1.0, 1000.0
    expect.equal("lost(mse_range(values, low, high, 20), values, low, high, 20)", "")


@exercise("mse_range")
def test_of_equal_losses_the_wider_range():
    values = np.zeros(5, F4)
    expect.close("mse_range(values, -2.0, 6.0)", (-2.0, 6.0), 1e-6, 0)
    expect.close("mse_range(values, -2.0, 6.0, 3)", (-2.0, 6.0), 1e-6, 0)
    expect.close("mse_range(values, 0.0, 0.0)", (0.0, 0.0), 0, 0)


@exercise("mse_range")
def test_values_stay_as_they_are(rng):
    values = rng.normal(size=100).astype(F4)
    before = values.copy()
    expect.value("mse_range(values, -2.0, 2.0, 5)")
    expect.equal("values", before)


@exercise("percentile_range", "mse_range")
def test_they_go_by_name(rng):
    values = rng.normal(size=500).astype(F4)
    low, high = float(values.min()), float(values.max())
    want = at(values, 0.005), at(values, 99.995)
    expect.close("RANGES['percentile'](values, low, high)", want, 1e-5, 1e-6)
    expect.equal("lost(RANGES['mse'](values, low, high), values, low, high, 80)", "")
