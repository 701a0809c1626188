"""Random numbers: streams that repeat, can be stored and never overlap, and the distributions they follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.ops.reference import philox
from tinytorch import random
from tinytorch.autograd import no_grad
from tinytorch.errors import DTypeError, ShapeError, TinyTorchError
from tinytorch.ops.context import observe, use_backend
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

DRAWS = {
    "rand": lambda g: g.rand(3, 5),
    "rand64": lambda g: g.rand(7, dtype="float64"),
    "uniform": lambda g: g.uniform(-2.0, 3.0, (11,)),
    "randn": lambda g: g.randn(4, 3),
    "randint": lambda g: g.randint(0, 100, (9,)),
    "randperm": lambda g: g.randperm(13),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_seed_gives_the_same_stream(name: str) -> None:
    a, b, other = Generator(7), Generator(7), Generator(8)
    for _ in range(3):
        x, y = DRAWS[name](a), DRAWS[name](b)
        np.testing.assert_array_equal(x.data, y.data)
        assert (x.data != DRAWS[name](other).data).any()


def test_the_stream_is_philox_as_published() -> None:
    # Random123's known answers for philox4x64, 10 rounds: counter and key zero
    assert philox(0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    found = Generator(7).rand(8, dtype="float64")
    assert found.tolist() == [(word >> 11) / 2**53 for counter in (1, 2) for word in philox(counter, 7)]


def test_a_state_saved_and_restored_goes_on_where_it_was() -> None:
    g = Generator(3)
    g.randn(5)
    saved = g.state.numpy()
    first = [draw(g).numpy() for draw in DRAWS.values()]
    other = Generator(99)
    other.state.assign_(Tensor(saved))
    for draw, expected in zip(DRAWS.values(), first, strict=True):
        np.testing.assert_array_equal(draw(other).data, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(sizes=st.lists(st.integers(0, 40), min_size=2, max_size=6))
def test_draws_do_not_overlap(dtype: str, sizes: list[int]) -> None:
    g = Generator(5)
    drawn = np.concatenate([g.rand(n, dtype=dtype).data for n in sizes])
    assert len(np.unique(drawn)) == len(drawn)


def test_the_counter_moves_by_what_was_drawn_and_the_key_stays() -> None:
    g = Generator(11)
    for n, dtype, steps in (
        (0, "float32", 0),
        (1, "float32", 1),
        (8, "float32", 1),
        (9, "float32", 2),
        (9, "float64", 3),
    ):
        before = g.state.numpy()
        g.rand(n, dtype=dtype)
        assert (g.state.data - before).tolist() == [0, steps]


def test_seeds_do_not_share_streams() -> None:
    drawn = np.concatenate(
        [Generator(seed).rand(1000, dtype="float64").data for seed in (0, 1, 2, -1, 2**62)]
    )
    assert len(np.unique(drawn)) == len(drawn)


def test_manual_seed_starts_the_default_stream_anew() -> None:
    saved = random.default_generator.state.numpy()
    try:
        random.manual_seed(42)
        first = [random.rand(3).numpy(), random.randn(3).numpy(), random.randint(0, 9, (5,)).numpy()]
        own = random.rand(3, generator=Generator(42))
        assert random.manual_seed(42) is random.default_generator
        again = [random.rand(3), random.randn(3), random.randint(0, 9, (5,))]
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b.data)
        np.testing.assert_array_equal(own.data, first[0])
    finally:
        random.default_generator.state.assign_(Tensor(saved))


def test_an_explicit_generator_leaves_the_default_one_alone() -> None:
    before = random.default_generator.state.numpy()
    own = Generator(1)
    random.rand(3, generator=own), random.randn(3, generator=own), random.randperm(3, generator=own)
    np.testing.assert_array_equal(random.default_generator.state.data, before)


# ---------------------------------------------------------------- distributions (seeds are fixed: no chance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_uniform_numbers_are_uniform(seed: int, dtype: str) -> None:
    x = Generator(seed).rand(200, 500, dtype=dtype).data.reshape(-1).astype(float)
    assert 0 <= x.min() <= x.max() < 1
    assert stats.kstest(x, "uniform").pvalue > 0.001
    assert abs(x.mean() - 0.5) < 4 * (1 / 12 / x.size) ** 0.5
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / x.size**0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_normal_numbers_are_normal(seed: int, dtype: str) -> None:
    x = Generator(seed).randn(200, 500, dtype=dtype).data.reshape(-1).astype(float)
    assert np.isfinite(x).all()
    assert stats.kstest(x, "norm").pvalue > 0.001
    n = x.size
    assert abs(x.mean()) < 4 / n**0.5
    assert abs(x.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs(stats.skew(x)) < 4 * (6 / n) ** 0.5
    assert abs(stats.kurtosis(x)) < 4 * (24 / n) ** 0.5
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / n**0.5


def test_uniform_range() -> None:
    x = Generator(0).uniform(-3.0, 5.0, (10_000,)).data
    assert -3 <= x.min() < -2.9
    assert 4.9 < x.max() <= 5


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**40))
def test_randint_stays_in_its_range(low: int, width: int) -> None:
    x = Generator(0).randint(low, low + width, (50,))
    assert x.dtype == "int64"
    assert low <= x.data.min()
    assert x.data.max() < low + width


def test_randint_is_even() -> None:
    counts = np.bincount(Generator(0).randint(0, 10, (100_000,)).data, minlength=10)
    assert stats.chisquare(counts).pvalue > 0.001


@given(st.integers(0, 200), st.integers(0, 2**63 - 1))
def test_randperm_is_a_permutation(n: int, seed: int) -> None:
    x = Generator(seed).randperm(n)
    assert x.dtype == "int64"
    assert sorted(x.tolist()) == list(range(n))


def test_randperm_places_each_number_everywhere() -> None:
    g = Generator(0)
    places = np.array([g.randperm(5).data for _ in range(5000)])
    for column in places.T:
        assert stats.chisquare(np.bincount(column, minlength=5)).pvalue > 0.0005


# ---------------------------------------------------------------- shapes, dtypes, errors, watchers


def test_shapes_and_dtypes() -> None:
    g = Generator(0)
    assert (g.rand().shape, g.rand(0, 3).shape, g.randn(2, 3).shape, g.randint(0, 2, (2,)).shape) == (
        (),
        (0, 3),
        (2, 3),
        (2,),
    )
    assert (g.rand(1).dtype, g.randn(1).dtype) == ("float32", "float32")
    assert (g.rand(1, dtype="float64").dtype, g.randn(1, dtype="float64").dtype) == ("float64", "float64")
    assert g.randn(2, dtype="float16").dtype == "float16"
    assert not g.rand(2).requires_grad


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "nonsense"])
def test_uniform_draws_floats_only(dtype: str) -> None:
    g = Generator(0)
    with pytest.raises(DTypeError):
        g.rand(2, dtype=dtype)
    assert g.state.tolist() == [0, 0]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 2)])
def test_randint_of_an_empty_range_is_refused(low: int, high: int) -> None:
    with pytest.raises(ShapeError):
        random.randint(low, high, (2,))


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_seeds_of_more_than_63_bits_are_refused(seed: int) -> None:
    g = Generator(1)
    with pytest.raises(TinyTorchError):
        g.manual_seed(seed)
    with pytest.raises(TinyTorchError):
        Generator(seed)
    assert g.state.tolist() == [1, 0]


def test_randomness_is_an_op_that_watchers_see() -> None:
    names: list[str] = []

    class Watcher:
        def on_op(self, event: Any) -> None:
            names.append(event.op.name)

        def on_exit(self, tensor: Tensor, how: str) -> None:
            names.append(how)

    g, h = Generator(4), Generator(4)
    with observe(Watcher()), use_backend("numpy"):
        x = g.randn(3)
    assert names.count("uniform") == 2
    assert "data" not in names
    with no_grad():
        np.testing.assert_array_equal(x.data, h.randn(3).data)
