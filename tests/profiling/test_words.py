"""Figures as people read them: units, places, and intervals, against hand-written and parsed-back values."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.profiling import words
from tinytorch.profiling.statistics import Estimate

UNITS = {"s": 1.0, "ms": 1e-3, "\u00b5s": 1e-6}
PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.08333, "0.0833"),
        (9.999, "10.0"),
        (999.6, "1,000"),
        (0.0, "0"),
        (-2.5, "-2.50"),
        (3e-7, "3.00e-07"),
        (math.nan, "-"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (None, "-"),
    ],
)
def test_figures(value: float | None, said: str) -> None:
    assert words.figure(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.99951, "1.00 s"), (0.0009996, "1.00 ms"), (4e-9, "0.00400 \u00b5s"), (None, "-")]
)
def test_times_change_their_unit_where_three_figures_would_round_up(value: float | None, said: str) -> None:
    assert words.seconds(value) == said


@given(st.floats(1e-7, 1e4))
def test_a_time_read_back_is_within_half_a_unit_of_its_last_figure(value: float) -> None:
    number, unit = words.seconds(value).replace(",", "").split()
    assert float(number) * UNITS[unit] == pytest.approx(value, rel=0.0051)


@given(st.floats(1.0, 1e20))
def test_work_read_back(value: float) -> None:
    found = re.fullmatch(r"([\d.,]+) ([kMGTPE]?)FLOP/s", words.rate(value))
    assert found is not None
    assert float(found[1].replace(",", "")) * PREFIXES[found[2]] == pytest.approx(value, rel=0.0051)


def test_an_interval_takes_the_unit_of_its_value_and_the_places_it_needs() -> None:
    assert words.timed(Estimate(0.0123, 0.0121, 0.0125)) == "12.3 ms [12.1, 12.5]"
    assert words.timed(Estimate(0.012345, 0.012341, 0.012349)) == "12.35 ms [12.34, 12.35]"
    assert words.timed(Estimate(0.0123, None, 0.0125)) == "12.3 ms [-, 12.5]"
    assert words.timed(Estimate(0.0123, None, None)) == "12.3 ms"
    assert words.timed(Estimate(math.nan, None, None)) == "-"


def test_ratios_show_a_place_more_where_their_interval_is_narrow() -> None:
    assert words.times(Estimate(1.43, 1.39, 1.47)) == "1.43x [1.39, 1.47]"
    assert words.times(Estimate(1.0123, 1.003, 1.021)) == "1.012x [1.003, 1.021]"
    assert words.times(Estimate(3.7, 3.3, None)) == "3.70x [3.30, -]"
    assert words.times(Estimate(2.0, None, None)) == "2.00x"


def test_shares() -> None:
    assert words.shared(Estimate(0.731, 0.702, 0.76)) == "73.1 % [70.2, 76.0]"
    assert words.shared(Estimate(0.5, None, None)) == "50.0 %"
    assert words.percent(math.nan) == words.percent(None) == "-"


def test_sizes_and_bandwidths() -> None:
    assert (words.size(-2048), words.size(0), words.size(None)) == ("-2.0 KiB", "0 B", "-")
    assert words.bandwidth(999_960_000) == "1.00 GB/s"
    assert words.count(1234567.4) == "1,234,567"


@given(st.text())
def test_printable_text_has_no_control_characters(text: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in words.printable(text))
    assert len(words.printable(text)) == len(text)
