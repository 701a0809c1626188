"""What the console shows: durations, quantities, bars and sparklines."""

import math

from tinytorch.console import bar_text, duration, quantity, sparkline
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise

# ---------------------------------------------------------------- duration


@exercise("duration")
def test_minutes_and_seconds():
    expect.equal("duration(75)", "1:15")
    expect.equal("duration(0)", "0:00")
    expect.equal("duration(9)", "0:09")
    expect.equal("duration(60)", "1:00")
    expect.equal("duration(3599)", "59:59")


@exercise("duration")
def test_hours_where_there_are_any():
    expect.equal("duration(3600)", "1:00:00")
    expect.equal("duration(7384)", "2:03:04")
    expect.equal("duration(360_000)", "100:00:00")


@exercise("duration")
def test_seconds_are_rounded_down(rng):
    expect.equal("duration(0.99)", "0:00")
    expect.equal("duration(59.999)", "0:59")
    expect.equal("duration(3599.5)", "59:59")
    minutes, seconds = int(rng.integers(1, 60)), int(rng.integers(10, 60))
    expect.equal("duration(60 * minutes + seconds + 0.25)", f"{minutes}:{seconds}")


# ---------------------------------------------------------------- quantity


@exercise("quantity")
def test_bytes_in_the_largest_unit_that_they_fill():
    expect.equal('quantity(0, "B")', "0 B")
    expect.equal('quantity(1, "B")', "1 B")
    expect.equal('quantity(1023, "B")', "1023 B")
    expect.equal('quantity(1024, "B")', "1.0 KiB")
    expect.equal('quantity(1536, "B")', "1.5 KiB")
    expect.equal('quantity(3.2 * 2**20, "B")', "3.2 MiB")
    expect.equal('quantity(1024**2, "B")', "1.0 MiB")
    expect.equal('quantity(5 * 1024**3, "B")', "5.0 GiB")
    expect.equal('quantity(3000 * 1024**3, "B")', "3000.0 GiB")
    expect.equal('quantity(0.4, "B")', "0 B")


@exercise("quantity")
def test_anything_else_as_people_write_it(rng):
    expect.equal('quantity(51234, "images")', "51,234 images")
    expect.equal('quantity(1234567.8, "rows")', "1,234,568 rows")
    expect.equal('quantity(10.4, "steps")', "10 steps")
    expect.equal('quantity(3, "steps")', "3 steps")
    expect.equal('quantity(3.0, "steps")', "3 steps")
    expect.equal('quantity(0, "it")', "0 it")
    count = int(rng.integers(1000, 10_000))
    expect.equal('quantity(count, "b")', f"{count // 1000},{count % 1000:03} b")


@exercise("quantity")
def test_two_digits_of_small_amounts():
    expect.equal('quantity(2.5, "steps")', "2.5 steps")
    expect.equal('quantity(9.96, "it")', "10 it")
    expect.equal('quantity(0.123, "it")', "0.12 it")
    expect.equal('quantity(0.00456, "it")', "0.0046 it")


# ---------------------------------------------------------------- bars


@exercise("bar_text")
def test_a_bar_shows_the_part_done():
    expect.equal('bar_text(0.5, 8, "#.")', "####....")
    expect.equal('bar_text(0, 5, "#.")', ".....")
    expect.equal('bar_text(1, 5, "#.")', "#####")
    expect.equal('bar_text(0.25, 8, "=-")', "==------")
    expect.equal('bar_text(0.3, 0, "#.")', "")


@exercise("bar_text")
def test_a_bar_is_rounded_to_the_nearest_column():
    expect.equal('bar_text(0.19, 10, "#.")', "##........")
    expect.equal('bar_text(0.11, 10, "#.")', "#.........")
    expect.equal('bar_text(0.96, 10, "#.")', "##########")


@exercise("bar_text")
def test_a_bar_never_leaves_its_columns():
    expect.equal('bar_text(1.5, 4, "#.")', "####")
    expect.equal('bar_text(-0.5, 4, "#.")', "....")
    expect.equal('bar_text(0.5, 20, "")', "")


# ---------------------------------------------------------------- sparklines


@exercise("sparkline")
def test_low_to_high():
    expect.equal('sparkline([0.0, 1.0, 2.0, 4.0], 40, "_-=#")', "_-=#")
    expect.equal('sparkline([4.0, 2.0, 1.0, 0.0], 40, "_-=#")', "#=-_")
    expect.equal('sparkline([8.0, 4.0, 2.0, 1.0, 0.5], 40, "_.-=+*#@")', "@=.__")
    expect.equal('sparkline([-10, 0, 10], 40, "abc")', "abc")
    expect.equal('sparkline([100.0, 100.9, 101.1, 102.0], 40, "ab")', "aabb")


@exercise("sparkline")
def test_few_values_or_equal_ones():
    expect.equal('sparkline([], 40, "_-=#")', "")
    expect.equal('sparkline([7.0], 40, "_-=#")', "_")
    expect.equal('sparkline([3.0, 3.0, 3.0], 40, "_-=#")', "___")
    expect.equal('sparkline([1, 2], 2, "_-=#")', "_#")


@exercise("sparkline")
def test_more_values_than_columns_are_averaged():
    expect.equal('sparkline([0, 2, 2, 4, 8, 10], 3, "abcdefghi")', "aci")
    expect.equal('sparkline([0.0, 10.0, 0.0, 0.0, 20.0], 2, "abcd")', "ad")
    expect.equal('sparkline([5.0, 0.0, 0.0, 10.0, 10.0], 2, "ab")', "ab")
    expect.equal('sparkline([0, 0, 5, 5, 9, 9, 9], 3, "abc")', "abc")
    values = [float(i) for i in range(1000)]
    expect.equal('sparkline(values, 10, "0123456789")', "0123456789")


@exercise("sparkline")
def test_what_is_not_finite_is_marked():
    values = [0.0, math.nan, 1.0, math.inf, -math.inf]
    expect.equal('sparkline(values, 40, "_#")', "_x#xx")
    nothing = [math.nan, math.inf]
    expect.equal('sparkline(nothing, 40, "_#")', "xx")
    spoilt = [1.0, math.nan, 2.0, 2.0]
    expect.equal('sparkline(spoilt, 2, "_#")', "x_")


@exercise("sparkline")
def test_huge_values_do_not_overflow():
    expect.equal('sparkline([-1.7e308, 0.0, 1.7e308], 40, "abc")', "abc")
