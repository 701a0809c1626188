"""One number out of several, with the error that it has."""

import math

import numpy as np
import pytest

from tinytorch.benchmarking.ratio import EXACT, Ratio, exact, geometric_mean
from tinytorch.errors import BenchmarkError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise


@exercise("geometric_mean")
def test_the_root_of_the_product():
    expect.close("geometric_mean([exact(8, 1), exact(2, 1)]).value", 4.0, 1e-9)
    expect.close("geometric_mean([exact(3, 1), exact(1, 3), exact(5, 1)]).value", 5 ** (1 / 3), 1e-9)
    expect.close("geometric_mean([exact(7, 2)]).value", 3.5, 1e-9)


@exercise("geometric_mean")
def test_twice_as_good_and_half_as_good_is_as_good():
    expect.close("geometric_mean([exact(2, 1), exact(1, 2)]).log", 0.0, 0, 1e-12)


@exercise("geometric_mean")
def test_errors_add_up_in_squares():
    parts = [Ratio(0.1, 0.3, 9.0), Ratio(0.2, 0.4, 9.0)]
    expect.close("geometric_mean(parts).error", 0.25, 1e-9)
    alike = [Ratio(0.0, 0.2, 9.0)] * 4
    expect.close("geometric_mean(alike).error", 0.1, 1e-9)


@exercise("geometric_mean")
def test_degrees_of_freedom():
    parts = [Ratio(0.0, 0.3, 5.0), Ratio(0.0, 0.1, 20.0)]
    top = (0.15**2 + 0.05**2) ** 2
    want = top / (0.15**4 / 5 + 0.05**4 / 20)
    expect.close("geometric_mean(parts).freedom", want, 1e-9)
    expect.close("geometric_mean([Ratio(0.3, 0.2, 7.0)]).freedom", 7.0, 1e-9)


@exercise("geometric_mean")
def test_what_is_exact_adds_no_doubt():
    parts = [Ratio(0.4, 0.2, 6.0), exact(4, 1), exact(2, 1), exact(1, 1)]
    found = expect.value("geometric_mean(parts)")
    expect.close("found.error", 0.05, 1e-9, found=found)
    expect.close("found.freedom", 6.0, 1e-6, found=found)
    sure = expect.value("geometric_mean([exact(4, 1), exact(2, 1)])")
    expect.equal("(sure.error, sure.freedom)", (0.0, EXACT), sure=sure)


@exercise("geometric_mean")
@pytest.mark.parametrize("n", [2, 5])
def test_its_interval_holds_as_often_as_it_says(rng, n):
    held = 0
    for _ in range(400):
        parts = []
        for _ in range(n):
            values = rng.normal(0.0, rng.uniform(0.01, 0.1), 6)
            parts.append(Ratio(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(6), 5.0))
        ends = expect.value("geometric_mean(parts).estimate()", parts=parts)
        held += ends.low <= 1 <= ends.high
    expect.true("held >= 0.9 * 400", "the true ratio lies inside in 95 of 100 cases", held=held)
    assert np.isfinite(held)


@exercise("geometric_mean")
def test_of_nothing_there_is_none():
    expect.raises("geometric_mean([])", BenchmarkError)
