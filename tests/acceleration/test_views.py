"""Views in NumPy's words: for places that NumPy itself made, the text leads to the same elements."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.readable import strided
from tinytorch.acceleration.native.views import looks, run, text_of
from tinytorch.ops.spec import Array, Spec, float32

SIZES = st.sampled_from([1, 2, 3, 4, 6])


def place_of(array: Array, base: Array) -> Place:
    """Where an array lies, seen from another one."""
    begin, first = (a.__array_interface__["data"][0] for a in (array, base))
    strides = tuple(step // array.itemsize for step in array.strides)
    return Place(0, float32, array.shape, strides, (begin - first) // array.itemsize)


@st.composite
def bases(draw: st.DrawFn) -> Array:
    """Arrays whose axes lie in memory in any order."""
    shape = draw(st.lists(SIZES, max_size=4))
    order = draw(st.permutations(range(len(shape))))
    memory = np.arange(np.prod(shape, dtype=int), dtype=np.float32)
    return memory.reshape([shape[i] for i in order]).transpose(np.argsort(order).tolist())


@st.composite
def seen(draw: st.DrawFn) -> tuple[Array, Array]:
    """An array, and a view of it through up to three steps."""
    base = array = draw(bases())
    for _ in range(draw(st.integers(0, 3))):
        array = draw(st.sampled_from([_sliced, _permuted, _split, _stretched, _with_axis]))(draw, array)
    return base, array


def _sliced(draw: Any, array: Array) -> Array:
    if not array.ndim:
        return array
    axis = draw(st.integers(0, array.ndim - 1))
    n = array.shape[axis]
    key: list[Any] = [slice(None)] * array.ndim
    begin = draw(st.integers(0, n - 1))
    end, step = draw(st.integers(begin + 1, n)), draw(st.sampled_from([1, 2]))
    part = slice(begin, end, step) if draw(st.booleans()) else slice(None, None, -step)
    key[axis] = draw(st.sampled_from([part, begin]))
    return array[(*key, ...)]


def _permuted(draw: Any, array: Array) -> Array:
    return array.transpose(draw(st.permutations(range(array.ndim))))


def _split(draw: Any, array: Array) -> Array:
    if not array.ndim:
        return array
    axis = draw(st.integers(0, array.ndim - 1))
    n = array.shape[axis]
    outer = draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
    return np.reshape(array, (*array.shape[:axis], outer, n // outer, *array.shape[axis + 1 :]), copy=False)


def _stretched(draw: Any, array: Array) -> Array:
    return np.broadcast_to(array, (draw(st.integers(1, 3)), *array.shape))


def _with_axis(draw: Any, array: Array) -> Array:
    return array[None]


@given(seen())
def test_a_view_is_found_and_said(pair: tuple[Array, Array]) -> None:
    base, array = pair
    found = looks(place_of(base, base), place_of(array, base))
    assert found is not None
    same = eval(text_of("x", found), {"x": base, "np": np, "strided": strided})
    for view in (same, run(base, found)):
        np.testing.assert_array_equal(view, array)
        assert np.shares_memory(view, base)


@given(bases())
def test_the_array_itself_needs_no_words(base: Array) -> None:
    assert looks(place_of(base, base), place_of(base, base)) == ()


def test_plain_views_are_said_plainly() -> None:
    dense = Place.dense(0, Spec((4, 6), float32))
    array = np.zeros((4, 6), np.float32)
    words = {
        "t.T": array.T,
        "t[1:3]": array[1:3],
        "t[:, 0]": array[:, 0],
        "t.reshape(2, 12)": array.reshape(2, 12),
        "np.broadcast_to(t, (5, 4, 6))": np.broadcast_to(array, (5, 4, 6)),
        "t.reshape(4, 3, 2).transpose(1, 0, 2)": array.reshape(4, 3, 2).transpose(1, 0, 2),
        "t[1:, ::2]": array[1:, ::2],
    }
    for text, view in words.items():
        assert text_of("t", looks(dense, place_of(view, array)) or ()) == text


def test_windows_that_overlap_are_said_by_strides() -> None:
    row = Place.dense(0, Spec((9,), float32))
    found = looks(row, Place(0, float32, (3, 4), (2, 1), 1))
    assert found is not None
    assert text_of("t", found) == "strided(t, (3, 4), (2, 1), 1)"
    windows = [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8]]
    np.testing.assert_array_equal(run(np.arange(9, dtype=np.float32), found), windows)


def test_what_numpy_cannot_see_is_not_said() -> None:
    gaps = Place(0, float32, (4, 3), (8, 1))
    assert looks(gaps, Place(0, float32, (12,), (1,))) is None
