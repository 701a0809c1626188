"""Pages: taken, shared, given back, and copied only where somebody else still reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.caching.pool import PagePool
from tinytorch.errors import CacheError
from tinytorch.tensor import from_numpy


def test_pages_are_taken_until_there_are_none() -> None:
    pool = PagePool(1, 1, 4, 3, 8)
    assert [pool.take() for _ in range(3)] == [0, 1, 2]
    assert pool.free == 0
    with pytest.raises(CacheError, match="0 of 3 pages of 8 positions free, 1 needed; the others are in use"):
        pool.take()
    assert pool.users.tolist() == [1, 1, 1]
    pool.release([1])
    assert (pool.free, pool.take()) == (1, 1)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_pages_that_come_back_are_taken_in_the_order_of_memory(order: list[int]) -> None:
    pool = PagePool(1, 1, 4, 4, 8)
    assert [pool.take() for _ in range(4)] == [0, 1, 2, 3]
    pool.release(order)
    assert [pool.take() for _ in range(4)] == [0, 1, 2, 3]


def test_a_shared_page_is_free_when_its_last_user_is_gone() -> None:
    pool = PagePool(1, 1, 4, 2, 8)
    page = pool.take()
    pool.share([page])
    pool.share([page])
    for left in (2, 1):
        pool.release([page])
        assert pool.users[page] == left
        assert pool.free == 1
    pool.release([page])
    assert pool.free == 2


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_page_of_ones_own_is_not_copied_and_a_shared_one_is_in_all_layers(dtype: str) -> None:
    pool = PagePool(2, 2, 4, 4, 8, dtype)
    page = pool.take()
    rng = np.random.default_rng(0)
    for layer in range(2):
        for tensor in pool.tensors(layer):
            shape = (2, *tensor.shape[2:])
            tensor.assign_(from_numpy(rng.integers(-9, 9, shape).astype(pool.dtype)), at=(slice(None), page))
    assert pool.own(page) == page
    pool.share([page])
    before = [[t.numpy() for t in pool.tensors(layer)] for layer in range(2)]
    fresh = pool.own(page)
    assert fresh != page
    assert (pool.users[page], pool.users[fresh], pool.free) == (1, 1, 2)
    for layer in range(2):
        assert len(pool.tensors(layer)) == (4 if dtype == "int8" else 2)
        for tensor, old in zip(pool.tensors(layer), before[layer], strict=True):
            np.testing.assert_array_equal(tensor.numpy()[:, fresh], old[:, page])
            assert old[:, page].any()
            others = [n for n in range(4) if n != fresh]
            np.testing.assert_array_equal(tensor.numpy()[:, others], old[:, others])


def test_no_page_for_a_copy_changes_nothing() -> None:
    pool = PagePool(1, 1, 4, 1, 8)
    page = pool.take()
    pool.share([page])
    with pytest.raises(CacheError, match="in use"):
        pool.own(page)
    assert pool.users.tolist() == [2]


@given(
    st.lists(st.tuples(st.sampled_from(["take", "share", "release", "own"]), st.integers(0, 99)), max_size=40)
)
@settings(max_examples=40)
def test_counts_are_those_of_a_simple_ledger(steps: list[tuple[str, int]]) -> None:
    pool = PagePool(1, 1, 2, 4, 2)
    ledger: list[int] = []  # a page for each of its users
    for what, number in steps:
        page = ledger[number % len(ledger)] if ledger else None
        if what == "take" and len(set(ledger)) < 4:
            fresh = pool.take()
            assert fresh not in ledger
            ledger.append(fresh)
        elif page is not None and what == "share":
            pool.share([page])
            ledger.append(page)
        elif page is not None and what == "release":
            pool.release([page])
            ledger.remove(page)
        elif page is not None and what == "own" and len(set(ledger)) < 4:
            shared = ledger.count(page) > 1
            mine = pool.own(page)
            assert (mine not in ledger) == shared
            ledger.remove(page)
            ledger.append(mine)
        assert pool.users.tolist() == [ledger.count(n) for n in range(4)]
        assert pool.free == 4 - len(set(ledger))


@pytest.mark.parametrize(("dtype", "vector"), [("float32", 4 * 32), ("float16", 2 * 32), ("int8", 33)])
def test_bytes_of_a_page_are_those_of_its_arrays(dtype: str, vector: int) -> None:
    pool = PagePool(3, 2, 32, 5, 16, dtype)
    held = sum(t.numpy().nbytes for layer in range(3) for t in pool.tensors(layer))
    assert pool.page_bytes * 5 == held
    assert pool.page_bytes == 2 * 3 * 2 * 16 * vector


def test_pages_for_positions() -> None:
    pool = PagePool(1, 1, 4, 2, 8)
    assert [pool.pages_for(n) for n in (0, 1, 8, 9)] == [0, 1, 1, 2]


@pytest.mark.parametrize("wrong", [(0, 1, 1, 1, 1), (1, 0, 1, 1, 1), (1, 1, -1, 1, 1), (1, 1, 1, 0, 1)])
def test_sizes_below_one_are_refused(wrong: Any) -> None:
    with pytest.raises(CacheError, match="at least 1"):
        PagePool(*wrong)


@pytest.mark.parametrize("dtype", ["float64", "int64", "bool"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(CacheError, match=f"dtype {dtype}; choose from float32, float16, int8"):
        PagePool(1, 1, 1, 1, 1, dtype)
