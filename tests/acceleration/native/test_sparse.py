"""Products with sparse weights in machine code: against float64, and never with indices that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import Tensor, no_grad
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.kernels.sparse import SparseBlocks, SparseProduct, SparseRows
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.errors import ShapeError
from tinytorch.ops.base import clock
from tinytorch.ops.sparse import BLOCK, linear_blocked, linear_csr
from tinytorch.tensor import from_numpy

Array = np.ndarray[Any, Any]
Layer = Callable[..., Tensor]


def by_rows(stored: Array, w: Array) -> tuple[Layer, list[Tensor]]:
    """The layer of a weight and its parts: what `stored` marks, row by row."""
    rows, columns = np.nonzero(stored)
    starts = np.searchsorted(rows, np.arange(len(w) + 1))
    parts = [w[rows, columns], columns.astype(np.int32), starts.astype(np.int32)]
    return linear_csr, [from_numpy(part) for part in parts]


def in_blocks(stored: Array, w: Array) -> tuple[Layer, list[Tensor]]:
    """The same in blocks: a block is stored where anything of it is."""
    n, k = w.shape
    groups = -(-n // BLOCK)
    full, marked = np.zeros((groups * BLOCK, k), np.float32), np.zeros((groups * BLOCK, k), bool)
    full[:n], marked[:n] = np.where(stored, w, 0), stored
    which, columns = np.nonzero(marked.reshape(groups, BLOCK, k).any(1))
    values = full.reshape(groups, BLOCK, k)[which, :, columns]
    starts = np.searchsorted(which, np.arange(groups + 1))
    parts = [values, columns.astype(np.int32), starts.astype(np.int32)]
    return lambda x, *rest: linear_blocked(x, n, *rest), [from_numpy(part) for part in parts]


FORMS = pytest.mark.parametrize("form", [by_rows, in_blocks])


def compiled(
    function: Callable[[Tensor], Tensor], x: Array, threads: int | None = 1
) -> tuple[Array, list[Kernel]]:
    """What a program gives for a function, and its kernels, none of which is left to NumPy."""
    with no_grad():
        graph = optimise(trace(function, [from_numpy(x)]).graph)
    lowered = lower(graph)
    assert not any(isinstance(step, Fallback) for step in lowered.steps)
    found = Program(lowered, use_cache=False, threads=threads).run([x], clock.now)[0]
    return found, [step for step in lowered.steps if isinstance(step, Kernel)]


def marks(rng: np.random.Generator, n: int, k: int, share: float) -> Array:
    """Which weights are stored: at random, none in the first row and the last, one at least."""
    stored = rng.random((n, k)) < share
    stored[[0, -1]] = False
    stored[n // 2, k // 2] = True
    return stored


def assert_close(found: Array, x: Array, w: Array, *bias: Array) -> None:
    """Within what sums of float32 in any order can be off: a few units of the sum of absolute products."""
    wide, weights = x.astype(np.float64), w.astype(np.float64)
    expected = wide @ weights.T + (bias[0] if bias else 0.0)
    bound = 1e-6 * (np.abs(wide) @ np.abs(weights).T + 1.0)
    assert found.dtype == np.float32
    assert (np.abs(found - expected) <= bound).all()


@FORMS
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 64, 64), (1, 7, 19), (2, 1, 9), (3, 7, 19), (8, 9, 1), (32, 130, 33), (33, 64, 16)]
)
def test_against_float64(form: Any, m: int, k: int, n: int) -> None:
    rng = np.random.default_rng([m, k, n])
    stored, w = marks(rng, n, k, 0.3), rng.standard_normal((n, k)).astype(np.float32)
    x, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), n))
    layer, parts = form(stored, w)
    found, kernels = compiled(lambda t: layer(t, *parts, from_numpy(bias)), x)
    (kernel,) = kernels
    assert isinstance(kernel, SparseRows if form is by_rows else SparseBlocks)
    assert_close(found, x, np.where(stored, w, 0), bias)


@FORMS
@given(
    st.sampled_from([1, 2, 5, 8, 9, 31, 32, 33, 70]),
    st.integers(1, 70),
    st.integers(1, 40),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=8, deadline=None)
def test_any_shape(form: Any, m: int, k: int, n: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored, w = marks(rng, n, k, share), rng.standard_normal((n, k)).astype(np.float32)
    x = rng.standard_normal((m, k)).astype(np.float32)
    layer, parts = form(stored, w)
    found, _ = compiled(lambda t: layer(t, *parts), x)
    assert_close(found, x, np.where(stored, w, 0))


@FORMS
def test_a_row_of_all_lengths(form: Any) -> None:
    """From no weight to more than go round side by side: what is left over is added, and once."""
    stored, w = np.tri(19, 18, -1, dtype=bool), np.ones((19, 18), np.float32)
    x = 2.0 ** np.arange(18, dtype=np.float32) * np.ones((9, 1), np.float32)
    layer, parts = form(stored, w)
    for rows in (1, 9):
        found, _ = compiled(lambda t: layer(t, *parts), x[:rows])
        np.testing.assert_array_equal(found, x[:rows] @ stored.T)


@FORMS
@pytest.mark.parametrize("m", [1, 20])
def test_what_is_not_stored_is_not_multiplied(form: Any, m: int) -> None:
    """An input that is no number reaches those outputs that have a weight for it, and no other."""
    stored, w = np.zeros((16, 6), bool), np.ones((16, 6), np.float32)
    stored[:8, 1], stored[8:, 2], stored[:, 4] = True, True, True
    x = np.ones((m, 6), np.float32)
    x[0] = [np.nan, np.nan, np.inf, np.nan, 1, -np.inf]
    layer, parts = form(stored, w)
    found, _ = compiled(lambda t: layer(t, *parts), x)
    assert np.isnan(found[0, :8]).all()
    assert (found[0, 8:] == np.inf).all()
    assert (found[1:] == 2).all()


@FORMS
@pytest.mark.parametrize("m", [1, 70])
def test_what_follows_is_done_on_sums_in_registers(form: Any, m: int) -> None:
    rng = np.random.default_rng(m)
    stored, w = marks(rng, 21, 30, 0.3), rng.standard_normal((21, 30)).astype(np.float32)
    x, bias, other = (rng.standard_normal(s).astype(np.float32) for s in ((m, 30), 21, (m, 21)))
    layer, parts = form(stored, w)
    beside = from_numpy(other)
    found, kernels = compiled(lambda t: layer(t, *parts, from_numpy(bias)).relu() * 2.0 + beside, x)
    assert len(kernels) == 1
    expected = np.maximum(x @ np.where(stored, w, 0).T + bias, 0) * 2 + other
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@FORMS
@pytest.mark.parametrize("shape", [(2, 3, 30), (30,)])
def test_any_number_of_axes(form: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    stored, w = marks(rng, 10, 30, 0.3), rng.standard_normal((10, 30)).astype(np.float32)
    x = rng.standard_normal(shape).astype(np.float32)
    layer, parts = form(stored, w)
    found, _ = compiled(lambda t: layer(t, *parts), x)
    np.testing.assert_allclose(found, x @ np.where(stored, w, 0).T, rtol=1e-5, atol=1e-5)
    turned = np.ascontiguousarray(x.T)
    found, _ = compiled(lambda t: layer(t.permute(*reversed(range(len(shape)))), *parts), turned)
    np.testing.assert_allclose(found, x @ np.where(stored, w, 0).T, rtol=1e-5, atol=1e-5)


@FORMS
@pytest.mark.parametrize("m", [1, 40])
def test_threads_share_the_outputs(form: Any, m: int) -> None:
    rng = np.random.default_rng(m)
    stored, w = marks(rng, 45, 30, 0.3), rng.standard_normal((45, 30)).astype(np.float32)
    x = rng.standard_normal((m, 30)).astype(np.float32)
    layer, parts = form(stored, w)
    alone, _ = compiled(lambda t: layer(t, *parts), x)
    for threads in (2, 7):
        found, _ = compiled(lambda t: layer(t, *parts), x, threads)
        np.testing.assert_array_equal(found, alone)


# ---------------------------------------------------------------- indices


@FORMS
def test_weights_that_change_are_used_and_checked_anew(form: Any) -> None:
    rng = np.random.default_rng(2)
    stored, w = marks(rng, 16, 12, 0.4), rng.standard_normal((16, 12)).astype(np.float32)
    layer, parts = form(stored, w)
    values, columns, starts = parts
    x = from_numpy(rng.standard_normal((3, 12)).astype(np.float32))
    fast = tt.compile(lambda t: layer(t, *parts))
    with no_grad():
        for _ in range(3):
            np.testing.assert_allclose(fast(x).data, layer(x, *parts).data, rtol=1e-5, atol=1e-5)
            values.assign_(values * 2.0)
        moved = (columns.data + 1) % 12
        columns.assign_(from_numpy(moved))
        np.testing.assert_allclose(fast(x).data, layer(x, *parts).data, rtol=1e-5, atol=1e-5)
        for wrong in (12, -1, 2**31 - 1, -(2**31)):
            bad = moved.copy()
            bad[-1] = wrong
            columns.assign_(from_numpy(bad))
            for _ in range(2):  # the second call is no way round the check
                with pytest.raises(ShapeError, match=f"column {wrong} is out of range for 12 inputs"):
                    fast(x)
        columns.assign_(from_numpy(moved))
        right = starts.data.copy()
        for wrong in (
            right + 1,
            right[::-1],
            np.minimum(right, right[-1] - 1),
            right * [1, *[7] * (len(right) - 1)],
        ):
            starts.assign_(from_numpy(wrong.astype(np.int32)))
            with pytest.raises(ShapeError, match="starts"):
                fast(x)
        starts.assign_(from_numpy(right))
        np.testing.assert_allclose(fast(x).data, layer(x, *parts).data, rtol=1e-5, atol=1e-5)


@FORMS
def test_the_kernel_reads_copies_of_its_own(form: Any) -> None:
    """An array that somebody else holds too may change without notice: the kernel must not see that."""
    rng = np.random.default_rng(3)
    stored, w = marks(rng, 16, 12, 0.4), rng.standard_normal((16, 12)).astype(np.float32)
    layer, (values, columns, starts) = form(stored, w)
    shared = [columns.data.copy(), starts.data.copy()]
    held = [from_numpy(array) for array in shared]
    x = rng.standard_normal((3, 12)).astype(np.float32)
    with no_grad():
        lowered = lower(optimise(trace(lambda t: layer(t, values, *held), [from_numpy(x)]).graph))
    (kernel,) = lowered.steps
    assert isinstance(kernel, SparseProduct)
    assert [lowered.buffers[place.buffer].kind for place in kernel.reads[2:4]] == ["packed", "packed"]
    program = Program(lowered, use_cache=False, threads=1)
    expected = program.run([x], clock.now)[0]
    for array in shared:
        array[...] = 2**30
    np.testing.assert_array_equal(program.run([x], clock.now)[0], expected)


@FORMS
def test_indices_that_come_at_each_run_are_left_to_numpy(form: Any) -> None:
    rng = np.random.default_rng(4)
    stored, w = marks(rng, 16, 12, 0.4), rng.standard_normal((16, 12)).astype(np.float32)
    layer, parts = form(stored, w)
    x = rng.standard_normal((3, 12)).astype(np.float32)
    arrays = [x, *(np.array(part.data) for part in parts)]
    with no_grad():
        lowered = lower(optimise(trace(layer, [from_numpy(a) for a in arrays]).graph))
    assert not any(isinstance(step, SparseProduct) for step in lowered.steps)
    program = Program(lowered, use_cache=False)
    assert_close(program.run(arrays, clock.now)[0], x, np.where(stored, w, 0))
    arrays[2][0] = 12
    with pytest.raises(ShapeError, match="column 12"):
        program.run(arrays, clock.now)


@FORMS
def test_weights_of_which_none_is_stored(form: Any) -> None:
    layer, parts = form(np.zeros((9, 5), bool), np.ones((9, 5), np.float32))
    bias = from_numpy(np.arange(9, dtype=np.float32))
    fast = tt.compile(lambda t: layer(t, *parts, bias))
    with no_grad():
        np.testing.assert_array_equal(fast(tt.ones(2, 5)).data, np.tile(bias.data, (2, 1)))
