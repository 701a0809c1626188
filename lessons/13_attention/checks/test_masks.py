"""Who may see whom: the causal mask, and how many pairs it leaves."""

import numpy as np
import pytest

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.attention import causal_mask, visible_pairs

SIZES = [(4, 4), (2, 5), (5, 2), (1, 3), (3, 1), (1, 1), (0, 3), (3, 0)]


def allowed(queries, keys):
    """Query i sees key j if j <= i + keys - queries, pair by pair."""
    return np.array(
        [[j <= i + keys - queries for j in range(keys)] for i in range(queries)], dtype=bool
    ).reshape(queries, keys)


@exercise("causal_mask")
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_query_sees_keys_up_to_itself(queries, keys):
    expect.equal("causal_mask(queries, keys)", allowed(queries, keys))


@exercise("causal_mask")
def test_the_mask_is_boolean():
    expect.true("causal_mask(3, 3).dtype == bool", "the mask is an array of bool")


@exercise("causal_mask")
def test_last_query_sees_everything_in_a_cache():
    expect.equal("causal_mask(1, 6)", np.ones((1, 6), bool))


@exercise("visible_pairs")
@pytest.mark.parametrize(("queries", "keys"), SIZES)
def test_pairs_are_counted(queries, keys):
    expect.equal("visible_pairs(True, queries, keys)", (int(allowed(queries, keys).sum()), queries * keys))
    expect.equal("visible_pairs(False, queries, keys)", (queries * keys, queries * keys))


@exercise("visible_pairs")
def test_counts_are_whole_numbers():
    whole = all(isinstance(n, int | np.integer) for n in visible_pairs(True, 4, 5))
    expect.true("whole", "both numbers are ints", whole=whole)


@exercise("visible_pairs")
def test_about_half_is_left_of_a_long_sequence():
    expect.equal("visible_pairs(True, 1024, 1024)", (1024 * 1025 // 2, 1024 * 1024))
