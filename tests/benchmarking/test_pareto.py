"""The front against every pair, one coordinate after the other."""

import numpy as np
import pytest

from tinytorch.benchmarking.pareto import front


@pytest.mark.parametrize("sizes", [1, 2, 3])
def test_the_front_is_what_nothing_beats(sizes: int) -> None:
    points = np.random.default_rng(sizes).integers(0, 12, (60, sizes)).astype(float)
    expected = []
    for number, point in enumerate(points):
        beaten = False
        for other in points:
            beaten = beaten or bool((other <= point).all() and (other < point).any())
        if not beaten:
            expected.append(number)
    assert front([tuple(row) for row in points.tolist()]) == tuple(expected)


def test_equal_points_do_not_beat_each_other() -> None:
    assert front([(1.0, 2.0), (1.0, 2.0), (1.0, 3.0)]) == (0, 1)
    assert front([]) == ()
