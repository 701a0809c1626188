"""Sparse weights: there and back as scipy has them, layers that give what dense ones give, and what pays."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinytorch as tt
from tinytorch import nn, no_grad
from tinytorch.acceleration.loaded import load_program
from tinytorch.compression.sparse import (
    BlockedLinear,
    SparseLinear,
    blocked_to_dense,
    csr_matvec,
    csr_to_dense,
    to_blocked,
    to_csr,
    zero_blocks,
)
from tinytorch.compression.sparsify import break_even, crossing, sparsify
from tinytorch.errors import CompressionError, GradientError, ShapeError
from tinytorch.models import MLP
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER, SAME, SLOWER
from tinytorch.quantization.speed import Race
from tinytorch.tensor import Tensor, from_numpy

module: Any = importlib.import_module("tinytorch.compression.sparsify")  # its function has its name

Array = np.ndarray[Any, Any]
WEIGHTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 12)),
    elements=st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.5, -2.0, np.inf, np.nan]),
)
BOTH = pytest.mark.parametrize("kind", [SparseLinear, BlockedLinear])


def layer(n: int, k: int, share: float, seed: int = 0, bias: bool = True) -> nn.Linear:
    """A Linear layer with the share of its weights at 0, and the first rows all of zeros."""
    rng = np.random.default_rng(seed)
    made = nn.Linear(k, n, bias)
    w = rng.standard_normal((n, k)).astype(np.float32) * (rng.random((n, k)) >= share)
    w[: min(9, n // 2)] = 0
    made.weight.assign_(from_numpy(w))
    return made


# ---------------------------------------------------------------- formats


@given(WEIGHTS)
def test_rows_are_those_of_scipy_and_come_back(w: Array) -> None:
    csr = to_csr(w)
    expected = scipy.sparse.csr_array(w)
    np.testing.assert_array_equal(csr.values, expected.data)
    np.testing.assert_array_equal(csr.columns, expected.indices)
    np.testing.assert_array_equal(csr.starts, expected.indptr)
    assert [a.dtype for a in (csr.values, csr.columns, csr.starts)] == [np.float32, np.int32, np.int32]
    assert csr.nbytes == 8 * np.count_nonzero(w) + 4 * (len(w) + 1)
    np.testing.assert_array_equal(csr_to_dense(csr), w)


@given(WEIGHTS)
def test_blocks_are_those_with_anything_in_them_and_come_back(w: Array) -> None:
    blocked = to_blocked(w)
    found = []
    for group in range(-(-len(w) // 8)):
        for column in range(w.shape[1]):
            rows = [float(w[r, column]) if r < len(w) else 0.0 for r in range(8 * group, 8 * group + 8)]
            if any(value != 0 for value in rows):
                found.append((group, column, rows))
    np.testing.assert_array_equal(blocked.columns, [column for _, column, _ in found])
    np.testing.assert_array_equal(blocked.values, np.array([rows for *_, rows in found]).reshape(-1, 8))
    ends = [sum(g < group for g, *_ in found) for group in range(-(-len(w) // 8) + 1)]
    np.testing.assert_array_equal(blocked.starts, ends)
    assert blocked.values.flags.c_contiguous
    assert blocked.nbytes == 36 * len(found) + 4 * len(ends)
    np.testing.assert_array_equal(blocked_to_dense(blocked), w)
    assert zero_blocks(w) == pytest.approx(1 - len(found) / (-(-len(w) // 8) * w.shape[1]))


@given(WEIGHTS)
def test_a_product_with_a_vector_is_that_of_what_is_stored(w: Array) -> None:
    w = np.nan_to_num(w, posinf=3.0)
    x = np.linspace(-1, 1, w.shape[1], dtype=np.float32)
    found = csr_matvec(to_csr(w), x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, w.astype(float) @ x.astype(float), rtol=1e-5, atol=1e-5)


def test_what_is_not_stored_is_not_multiplied() -> None:
    csr = to_csr(np.array([[0.0, 2.0], [3.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(csr_matvec(csr, np.float32([np.nan, 1.0])), [2.0, np.nan, 0.0])


def test_weights_of_other_shapes_are_refused() -> None:
    for make in (to_csr, to_blocked):
        with pytest.raises(CompressionError, match=r"\(2, 3, 4\); expected \(n, k\)"):
            make(np.zeros((2, 3, 4)))
    with pytest.raises(CompressionError, match=r"x is \(3,\) for a weight of \(2, 4\); expected \(4,\)"):
        csr_matvec(to_csr(np.zeros((2, 4))), np.zeros(3, np.float32))


# ---------------------------------------------------------------- layers


@BOTH
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n", "k", "share"), [(20, 12, 0.7), (8, 5, 0.0), (3, 4, 1.0)])
def test_a_layer_gives_what_the_dense_one_gives(kind: Any, n: int, k: int, share: float, bias: bool) -> None:
    dense = layer(n, k, share, bias=bias)
    stored = kind.of(dense)
    assert (stored.in_features, stored.out_features) == (k, n)
    x = from_numpy(np.random.default_rng(1).standard_normal((2, 3, k)).astype(np.float32))
    with no_grad():
        for run in (stored, tt.compile(stored)):
            np.testing.assert_allclose(run(x).data, dense(x).data, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(stored.weight.data, dense.weight.data)
    assert list(stored.state_dict()) == ["values", "columns", "starts", *["bias"] * bias]
    assert not list(stored.parameters())


@BOTH
def test_a_layer_has_memory_of_its_own(kind: Any) -> None:
    dense = layer(9, 4, 0.5)
    stored = kind.of(dense)
    before = stored(tt.ones(4)).data.copy()
    dense.weight.assign_(dense.weight.detach() * 2.0)
    assert dense.bias is not None
    dense.bias.assign_(dense.bias.detach() + 1.0)
    np.testing.assert_array_equal(stored(tt.ones(4)).data, before)


@BOTH
def test_a_layer_says_that_it_does_not_train(kind: Any) -> None:
    x = tt.ones(2, 4).requires_grad_()
    with pytest.raises(GradientError, match="has no gradient"):
        kind.of(layer(9, 4, 0.5))(x).sum().backward()


@BOTH
def test_a_model_with_sparse_layers_is_saved_as_a_program(kind: Any, tmp_path: Path) -> None:
    model = nn.Sequential(kind.of(layer(20, 12, 0.8)), nn.ReLU(), layer(4, 20, 0.5))
    x = from_numpy(np.random.default_rng(1).standard_normal((3, 12)).astype(np.float32))
    fast = tt.compile(model)
    with no_grad():
        expected = fast(x).data
        fast.save(tmp_path / "program.ttp")
        program = load_program(tmp_path / "program.ttp")
        np.testing.assert_allclose(program(x).data, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(program(x).data, model(x).data, rtol=1e-5, atol=1e-5)


@BOTH
def test_a_state_that_does_not_fit_is_found_before_it_is_used(kind: Any) -> None:
    stored = kind.of(layer(20, 12, 0.5))
    fast, x = tt.compile(stored), tt.ones(1, 12)
    with no_grad():
        fast(x)
        stored.load_state_dict({**stored.state_dict(), "columns": stored.columns + 7})
        for run in (stored, fast, fast):
            with pytest.raises(ShapeError, match="out of range for 12 inputs"):
                run(x)


# ---------------------------------------------------------------- what pays


def result(gain: float, word: str) -> Race:
    def near(value: float) -> Estimate:
        return Estimate(value, 0.9 * value, 1.1 * value)

    return Race(near(1e-3), near(1e-3 / gain), near(gain), word)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[type, Race]:
    """Races that end as the test says, by what runs against the dense layer; others are not run at all."""
    ends: dict[type, Race] = {}

    def race(before: nn.Module, after: nn.Module, *inputs: Tensor, **_: Any) -> Race:
        assert isinstance(before, nn.Linear) or len(list(before.modules())) > 1
        return ends.get(type(after), result(1.0, SAME))

    monkeypatch.setattr(module, "race", race)
    return ends


def net() -> nn.Module:
    return nn.Sequential(layer(32, 16, 0.9), nn.ReLU(), nn.Linear(32, 4))


@pytest.mark.parametrize(
    ("csr", "blocked", "chosen", "why"),
    [
        (result(3.0, FASTER), result(2.0, FASTER), "csr", "3.00x"),
        (result(2.0, FASTER), result(3.0, FASTER), "blocked", "3.00x"),
        (result(1.3, SAME), result(1.2, SAME), "dense", "no difference shown: csr"),
        (result(0.5, SLOWER), result(0.7, SLOWER), "dense", "dense wins: blocked"),
        (result(1.15, FASTER), result(1.0, SAME), "dense", "less than the 1.2x asked for"),
    ],
)
def test_the_fastest_form_takes_the_place_if_it_is_faster_beyond_chance(
    csr: Race, blocked: Race, chosen: str, why: str, told: dict[type, Race]
) -> None:
    told.update({SparseLinear: csr, BlockedLinear: blocked})
    model = net().train()
    twin, report = sparsify(model, tt.ones(3, 16), least_gain=1.2)
    first, second = report.rows
    assert (first.chosen, second.chosen) == (chosen, "dense")
    assert why in first.why
    kinds = {"dense": nn.Linear, "csr": SparseLinear, "blocked": BlockedLinear}
    assert type(twin[0]) is kinds[chosen]
    assert [type(m) for m in model] == [nn.Linear, nn.ReLU, nn.Linear]
    assert all(m.training for m in (*model.modules(), *twin.modules()))
    assert (report.whole is None) == (chosen == "dense")
    assert (first.rows, first.shape) == (3, (32, 16))
    assert first.times.keys() == {"dense", "csr", "blocked"}
    assert (second.why, second.times) == ("no zeros", {})
    with no_grad():
        np.testing.assert_allclose(
            twin(tt.ones(3, 16)).data, model(tt.ones(3, 16)).data, rtol=1e-4, atol=1e-5
        )
    text = repr(report)
    assert all(word in text for word in ("zero blocks", chosen, first.why))
    assert len(set(map(len, text.splitlines()[:2]))) == 1


def test_a_model_that_loses_by_layers_that_win_stays_dense(told: dict[type, Race]) -> None:
    told.update({SparseLinear: result(3.0, FASTER), nn.Sequential: result(0.8, SLOWER)})
    model = net()
    twin, report = sparsify(model, tt.ones(3, 16))
    assert [type(m) for m in twin] == [nn.Linear, nn.ReLU, nn.Linear]
    assert twin is not model
    assert {row.chosen for row in report.rows} == {"dense"}
    assert report.rows[0].why == (
        "3.00x [2.70, 3.30] as fast as dense by itself, but the model with such layers is 0.80x [0.72, 0.88]"
    )
    assert report.rows[1].why == "no zeros"
    assert report.whole is not None
    assert "the model: 1.00 ms before, 1.25 ms after" in repr(report)
    told.update({nn.Sequential: result(0.8, SAME)})
    assert sparsify(model, tt.ones(3, 16))[1].rows[0].chosen == "csr"


def test_layers_that_stay_say_why(told: dict[type, Race]) -> None:
    told.update({SparseLinear: result(9.0, FASTER)})

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.none, self.few, self.idle = nn.Linear(16, 16), layer(16, 16, 0.0), layer(16, 16, 0.9)
            self.twice = self.again = layer(16, 16, 0.9)
            self.one, self.other = layer(16, 16, 0.9), layer(16, 16, 0.9)
            self.other.weight = self.one.weight
            w = self.none.weight.data.copy()
            w[0, :2] = 0
            self.few.weight.assign_(from_numpy(w))

        def forward(self, x: Tensor) -> Tensor:
            for part in (self.none, self.few, self.twice, self.again, self.one, self.other):
                x = part(x)
            return x

    model = Net()
    twin, report = sparsify(model, tt.ones(1, 16))
    assert {row.path: row.why for row in report.rows} == {
        "none": "no zeros",
        "few": "fewer than 10.0 % of zeros: indices take more than they save",
        "idle": "it does not run on these inputs",
        "twice": "it is held in two places",
        "one": "another layer has the same weight",
        "other": "another layer has the same weight",
    }
    assert {row.chosen for row in report.rows} == {"dense"}
    assert not any(isinstance(m, SparseLinear | BlockedLinear) for m in twin.modules())


def test_measured_on_this_machine() -> None:
    """Where one weight in 500 is left, less work takes less time, and the model gives the same.

    Whether so few rounds show it beyond chance is for the machine to say: the choice must follow from that.
    """
    model = nn.Sequential(layer(1024, 1024, 0.998), nn.ReLU(), nn.Linear(1024, 4))
    x = from_numpy(np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32))
    twin, report = sparsify(model, x, rounds=20)
    row = report.rows[0]
    assert all(gain.value > 2 for gain in row.gains.values())
    best = max(row.gains, key=lambda form: row.gains[form].value)
    low = row.gains[best].low
    assert row.chosen == (best if low is not None and low > 1 else "dense")
    assert (report.whole is None) == (row.chosen == "dense")
    with no_grad():
        np.testing.assert_allclose(twin(x).data, model(x).data, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "inputs", "options", "match"),
    [
        (lambda: nn.Linear(4, 4), tt.ones(1, 4), {}, "itself a Linear"),
        (lambda: nn.Sequential(nn.ReLU()), tt.ones(1, 4), {}, "no Linear layer"),
        (lambda: MLP((4, 4)).to("float64"), tt.ones(1, 4), {}, "no Linear layer with weights of float32"),
        (lambda: MLP((4, 4)), np.ones((1, 4)), {}, "inputs are a Tensor"),
        (lambda: MLP((4, 4)), (), {}, "inputs are a Tensor"),
        (lambda: MLP((4, 4)), tt.zeros(0, 4), {}, "no Linear layer of the model runs"),
        (lambda: MLP((4, 4)), tt.ones(1, 4) * float("nan"), {}, "nan goes into layer"),
        (lambda: MLP((4, 4)), tt.ones(1, 4), {"least_gain": 0.5}, "least_gain 0.5"),
        (lambda: MLP((4, 4)), tt.ones(1, 4), {"least_gain": float("nan")}, "least_gain nan"),
    ],
)
def test_bad_requests(model: Any, inputs: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(CompressionError, match=match):
        sparsify(model(), inputs, **options)


# ---------------------------------------------------------------- break-even


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6))
@settings(max_examples=50)
def test_where_gains_cross(gains: list[float]) -> None:
    points = [(0.4 + 0.1 * i, gain) for i, gain in enumerate(gains)]
    at = crossing(points)
    if gains[-1] < 1:
        assert at is None
    elif min(gains) >= 1:
        assert at == points[0][0]
    else:
        assert at is not None
        assert all(gain >= 1 for sparsity, gain in points if sparsity > at + 1e-6)
        logs = np.interp(at, [s for s, _ in points], np.log(gains))
        assert abs(logs) < 1e-3


def test_break_even_says_from_where_on(told: dict[type, Race]) -> None:
    told.update({SparseLinear: result(2.0, FASTER)})
    found = break_even(64, 48, 5)
    assert (found.at, found.shape, found.rows, found.form) == (0.5, (48, 64), 5, "csr")
    assert "48 x 64 by rows, 5 rows of inputs: sparse is as fast at 50.0 % of zeros already" in repr(found)
    told.update({SparseLinear: result(0.5, SLOWER)})
    assert "dense is not slower up to 95.0 % of zeros" in repr(break_even(64, 48, 5))


def test_break_even_is_measured_with_the_zeros_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def race(before: nn.Linear, after: Any, x: Tensor, **_: Any) -> Race:
        w = before.weight.data
        seen.append((float((w == 0).mean()), zero_blocks(w), type(after), x.shape))
        return result(10 * seen[-1][0] / 8, FASTER)  # 1 at 80 %

    monkeypatch.setattr(module, "race", race)
    for form, kind, at in (("csr", SparseLinear, 0), ("blocked", BlockedLinear, 1)):
        seen.clear()
        found = break_even(400, 400, 2, form=form)  # type: ignore[arg-type]
        assert found.at == pytest.approx(0.8, abs=0.02)
        assert [sparsity for sparsity, _ in found.points] == list(module.GRID)
        for (sparsity, _), row in zip(found.points, seen, strict=True):
            assert row[at] == pytest.approx(sparsity, abs=0.02)
            assert row[2:] == (kind, (2, 400))


@pytest.mark.parametrize(
    ("arguments", "match"), [((0, 4), "k=0"), ((4, 4, 0), "rows=0"), ((4, 4, 1, "coo"), "form 'coo'")]
)
def test_break_even_of_nothing(arguments: Any, match: str) -> None:
    *sizes, form = arguments if isinstance(arguments[-1], str) else (*arguments, "csr")
    with pytest.raises(CompressionError, match=match):
        break_even(*sizes, form=form)
