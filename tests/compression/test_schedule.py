"""Schedules: sparsity grows from first to last, never falls, and ends where it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.compression.schedule import cubic, gradual, iterative, one_shot
from tinytorch.errors import CompressionError


@given(st.integers(0, 50), st.integers(1, 200), st.floats(0, 0.5), st.floats(0.5, 0.99))
def test_the_cubic_schedule_is_that_of_the_paper(begin: int, length: int, first: float, last: float) -> None:
    end = begin + length
    found = [cubic(step, begin, end, first, last) for step in range(end + 10)]
    assert np.all(np.diff(found) >= -1e-12)
    assert found[begin] == pytest.approx(first)
    assert found[end] == found[-1] == pytest.approx(last)
    assert all(value == pytest.approx(first) for value in found[:begin])
    middle = begin + length // 2
    share = (middle - begin) / length
    assert found[middle] == pytest.approx(last + (first - last) * (1 - share) ** 3)


@pytest.mark.parametrize(
    "arguments", [(5, 5, 0.0, 0.5), (-1, 5, 0.0, 0.5), (0, 5, 0.6, 0.5), (0, 5, 0.0, 1.1)]
)
def test_a_schedule_that_makes_no_sense_is_refused(arguments: tuple[int, int, float, float]) -> None:
    with pytest.raises(CompressionError, match="cubic"):
        cubic(0, *arguments)
    begin, end, first, last = arguments
    with pytest.raises(CompressionError, match="cubic"):
        gradual(end, last, begin, first)


@given(st.integers(1, 6), st.integers(1, 30), st.floats(0.1, 0.99))
def test_each_cut_takes_the_same_share_of_what_is_left(rounds: int, steps: int, last: float) -> None:
    schedule = iterative(rounds, steps, last)
    left = [1 - schedule(number * steps) for number in range(rounds)]
    assert left[-1] == pytest.approx(1 - last)
    ratios = [b / a for a, b in zip([1.0, *left], left, strict=False)]
    np.testing.assert_allclose(ratios, ratios[0])
    assert schedule(0) == schedule(steps - 1)
    assert schedule(1000 * steps) == schedule((rounds - 1) * steps)


def test_rounds_and_steps_are_at_least_one() -> None:
    with pytest.raises(CompressionError, match="at least one"):
        iterative(0, 5, 0.5)
    assert one_shot(0.7)(0) == one_shot(0.7)(99) == 0.7
