"""What no other beats, ranks that are shared, and luck."""

import math
from itertools import pairwise

import numpy as np
import pytest
from helpers import beaten

from tinytorch.benchmarking.pareto import front
from tinytorch.benchmarking.ranking import allowance, ranks
from tinytorch.errors import BenchmarkError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise

# ---------------------------------------------------------------- front


@exercise("front")
def test_smaller_or_better():
    points = [(10, 0.1), (5, 0.1), (5, 0.2), (2, 0.3), (9, 0.05)]
    expect.equal("front(points)", (1, 3, 4))


@exercise("front")
def test_equal_points_all_stay():
    points = [(1.0, 2.0), (1.0, 2.0), (3.0, 3.0), (1.0, 2.0)]
    expect.equal("front(points)", (0, 1, 3))


@exercise("front")
def test_of_one_and_of_none():
    expect.equal("front([(4.0, 4.0)])", (0,))
    expect.equal("front([])", ())


@exercise("front")
def test_as_good_in_one_and_worse_in_the_other():
    expect.equal("front([(1.0, 1.0), (1.0, 2.0), (2.0, 1.0)])", (0,))


@exercise("front")
@pytest.mark.parametrize("sizes", [2, 3, 4])
def test_of_many(rng, sizes):
    points = [tuple(row) for row in rng.integers(0, 6, (40, sizes)).tolist()]
    want = tuple(n for n, p in enumerate(points) if not any(beaten(p, q) for q in points))
    expect.equal("front(points)", want)


@exercise("front")
def test_numbers_are_in_order():
    points = [(float(n), float(-n)) for n in range(6)]
    expect.equal("front(points)", (0, 1, 2, 3, 4, 5))


# ---------------------------------------------------------------- ranks

ORDER = ["a", "b", "c", "d", "e"]


@exercise("ranks")
def test_without_comparisons_all_share():
    expect.equal("ranks(ORDER, set())", [1, 1, 1, 1, 1])
    expect.equal("ranks([], set())", [])


@exercise("ranks")
@pytest.mark.parametrize(
    ("apart", "want"),
    [
        ({("a", "b")}, [1, 2, 2, 2, 2]),
        ({("b", "c")}, [1, 1, 3, 3, 3]),
        ({("a", "c")}, [1, 1, 2, 2, 2]),
        ({("a", "e")}, [1, 1, 1, 1, 2]),
        ({("a", "b"), ("b", "c")}, [1, 2, 3, 3, 3]),
        ({("a", "b"), ("a", "c"), ("c", "d")}, [1, 2, 2, 4, 4]),
        ({("a", "d"), ("c", "d")}, [1, 1, 1, 4, 4]),
        ({("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")}, [1, 2, 3, 4, 5]),
    ],
)
def test_what_is_told_apart_ranks_behind(apart, want):
    expect.equal("ranks(ORDER, apart)", want)


@exercise("ranks")
@pytest.mark.parametrize("step", [1, -1])
def test_of_several_pairs_the_nearest_counts(step):
    apart = dict.fromkeys([("a", "e"), ("b", "e"), ("c", "e")][::step]).keys()
    expect.equal("ranks(ORDER, apart)", [1, 1, 1, 1, 4])


@exercise("ranks")
def test_a_pair_that_contradicts_the_order_separates_nobody():
    expect.equal("ranks(ORDER, {('c', 'a')})", [1, 1, 1, 1, 1])
    expect.equal("ranks(ORDER, {('c', 'a'), ('b', 'd')})", [1, 1, 1, 3, 3])


@exercise("ranks")
def test_pairs_of_others_do_not_matter():
    expect.equal("ranks(ORDER, {('x', 'a'), ('a', 'y'), ('x', 'y')})", [1, 1, 1, 1, 1])


@exercise("ranks")
def test_ranks_of_many(rng):
    order = [str(n) for n in rng.permutation(30)]
    chosen = rng.integers(0, 30, (12, 2)).tolist()
    apart = {(order[i], order[j]) for i, j in chosen if i != j}
    want, above = [], 0
    for j in range(30):
        above = max([above, *(i + 1 for i in range(j) if (order[i], order[j]) in apart)])
        want.append(above + 1)
    expect.equal("ranks(order, apart)", want)


# ---------------------------------------------------------------- allowance


@exercise("allowance")
def test_all_attempts_together_have_the_total():
    sums = expect.value("[sum(allowance(n, total) for n in range(1, 20001)) for total in (0.01, 0.2)]")
    for got, total in zip(sums, (0.01, 0.2), strict=True):
        expect.close("got", total, 1e-4, 0, got=got)
        expect.true("got < total", "no sum of the first attempts reaches it", got=got, total=total)


@exercise("allowance")
def test_each_attempt_has_less_and_all_have_some():
    found = expect.value("[allowance(n) for n in range(1, 50)]")
    falls = all(a > b > 0 for a, b in pairwise(found))
    expect.true("falls", "it falls from attempt to attempt, and stays above 0", falls=falls, found=found)


@exercise("allowance")
def test_as_the_inverse_square():
    for n in (1, 2, 7, 40):
        expect.close("allowance(n)", 0.06 / (math.pi * n) ** 2, 1e-9, 0, n=n)
    expect.close("allowance(3, 0.5)", 3 / (3 * math.pi) ** 2, 1e-9, 0)


@exercise("allowance")
@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_are_counted_from_one(attempt):
    expect.raises("allowance(attempt)", BenchmarkError)


@exercise("allowance")
def test_twenty_copies_hardly_set_a_record(rng):
    levels = np.array(expect.value("[allowance(n) for n in range(1, 21)]"))
    p = rng.uniform(size=(4000, 20))
    lucky = float((p < levels / 2).any(1).mean())
    expect.true("lucky <= 0.01", "of teams with copies of the record one in a hundred sets one", lucky=lucky)
