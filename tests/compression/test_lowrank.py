"""Low rank: against Eckart and Young's error, all ranks there are, and products in float64."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import nn
from tinytorch.compression.lowrank import (
    factorize,
    rank_for_energy,
    ranks_for_budget,
    svd_factors,
    whitening,
)
from tinytorch.errors import CompressionError
from tinytorch.models import CNN, MLP
from tinytorch.random import Generator


def matrix(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k)).astype(np.float32)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_error_is_that_of_the_singular_values_that_went(n: int, k: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, min(n, k)))
    w = matrix(n, k, seed=n * 10 + k)
    a, b = svd_factors(w, rank)
    assert (a.shape, b.shape, a.dtype, b.dtype) == ((n, rank), (rank, k), np.float32, np.float32)
    dropped = np.linalg.svd(w.astype(np.float64), compute_uv=False)[rank:]
    error = np.linalg.norm(w - a.astype(np.float64) @ b)
    np.testing.assert_allclose(error, np.sqrt(np.square(dropped).sum()), rtol=1e-4, atol=1e-5)


def test_factors_share_the_singular_values() -> None:
    w = matrix(6, 4) * 100
    a, b = svd_factors(w, 3)
    s = np.linalg.svd(w.astype(np.float64), compute_uv=False)[:3]
    np.testing.assert_allclose(a.T @ a, np.diag(s), atol=1e-3)
    np.testing.assert_allclose(b @ b.T, np.diag(s), atol=1e-3)


@pytest.mark.parametrize("rank", [0, -1, 4])
def test_rank_outside(rank: int) -> None:
    with pytest.raises(CompressionError, match=rf"rank {rank} of a \(5, 3\)"):
        svd_factors(matrix(5, 3), rank)


@given(
    st.lists(st.floats(0, 10, width=32), min_size=1, max_size=8),
    st.floats(0.01, 1.0),
)
def test_rank_for_energy_is_the_smallest_that_does(values: list[float], energy: float) -> None:
    s = np.array(sorted(values, reverse=True), np.float32)
    squares = s.astype(np.float64) ** 2
    enough = [r for r in range(1, len(s) + 1) if np.cumsum(squares)[r - 1] >= energy * np.cumsum(squares)[-1]]
    assert rank_for_energy(s, energy) == enough[0]


@pytest.mark.parametrize("energy", [0.0, -0.5, 1.01, float("nan")])
def test_energy_outside(energy: float) -> None:
    with pytest.raises(CompressionError, match="energy"):
        rank_for_energy(np.ones(3), energy)


def test_budget_is_kept_and_close_to_the_best_of_all_choices() -> None:
    rng = np.random.default_rng(0)
    shapes = {"a": (8, 6), "b": (5, 9), "c": (7, 7)}
    found = {
        name: (shape, np.linalg.svd(rng.normal(size=shape), compute_uv=False))
        for name, shape in shapes.items()
    }

    def size(name: str, rank: int) -> int:
        n, k = shapes[name]
        return n * k if rank == min(n, k) else rank * (n + k)

    def kept(name: str, rank: int) -> float:
        squares = found[name][1] ** 2
        return float(squares[:rank].sum() / squares.sum())

    for budget in (50, 80, 110, 141, 142):
        ranks = ranks_for_budget(found, budget)
        assert sum(size(n, r) for n, r in ranks.items()) <= budget
        choices = product(*(range(1, min(s) + 1) for s in shapes.values()))
        fitting = [c for c in choices if sum(size(n, r) for n, r in zip(shapes, c, strict=True)) <= budget]
        best = max(sum(kept(n, r) for n, r in zip(shapes, c, strict=True)) for c in fitting)
        assert sum(kept(n, r) for n, r in ranks.items()) >= 0.9 * best
    assert ranks_for_budget(found, 142) == {"a": 6, "b": 5, "c": 7}
    with pytest.raises(CompressionError, match="need 42 at rank 1"):
        ranks_for_budget(found, 41)


def test_the_layer_with_a_low_rank_is_cut_first() -> None:
    full, thin = matrix(20, 20), matrix(20, 2) @ matrix(2, 20, seed=1)
    values = {
        name: ((20, 20), np.linalg.svd(w, compute_uv=False)) for name, w in (("full", full), ("thin", thin))
    }
    assert ranks_for_budget(values, 400 + 80) == {"full": 20, "thin": 2}


def test_equal_energy_goes_where_it_saves_most() -> None:
    values = np.array([4.0, 2.0, 1.0, 0.5])
    found = {"a": ((4, 30), values), "b": ((4, 300), values)}
    # a rank of b takes 304 parameters, one of a 34
    assert ranks_for_budget(found, 120 + 3 * 304) == {"a": 4, "b": 3}
    assert ranks_for_budget(found, 120 + 2 * 304) == {"a": 4, "b": 2}


# ---------------------------------------------------------------- models


def test_linear_layers_become_two_with_the_product_of_the_factors() -> None:
    model = MLP((30, 20, 10, 4), generator=Generator(1))
    thin, report = factorize(model, rank=3)
    x = matrix(5, 30)
    first, second = (m.weight.data.astype(np.float64) for m in (model.layers[0], model.layers[2]))
    h = x.astype(np.float64)
    for w, layer in ((first, model.layers[0]), (second, model.layers[2])):
        u, s, vt = np.linalg.svd(w)
        h = np.maximum(h @ ((u[:, :3] * s[:3]) @ vt[:3]).T + layer.bias.data, 0)
    wanted = h @ model.layers[4].weight.data.T + model.layers[4].bias.data
    np.testing.assert_allclose(thin(tt.Tensor(x)).data, wanted, atol=1e-5)
    rows = {row.path: row for row in report.rows}
    assert (rows["layers.0"].before, rows["layers.0"].after) == (600, 150)
    assert rows["layers.4"].after == 40
    assert "no smaller" in rows["layers.4"].why
    biases = 20 + 10 + 4
    assert thin.num_parameters() == report.after + biases
    assert model.num_parameters() == report.before + biases
    assert "layers.4" in repr(report)
    assert "energy" in repr(report)


@pytest.mark.parametrize("geometry", [{"padding": 1}, {"stride": 2}, {"padding": 2, "dilation": 2}])
def test_convolutions_become_two(geometry: dict[str, int]) -> None:
    layer = nn.Conv2d(6, 12, 3, generator=Generator(1), **geometry)
    model = nn.Sequential(layer)
    thin, report = factorize(model, rank=7)
    u, s, vt = np.linalg.svd(layer.weight.data.reshape(12, -1).astype(np.float64), full_matrices=False)
    near = ((u[:, :7] * s[:7]) @ vt[:7]).reshape(layer.weight.shape)
    x = Generator(2).rand(2, 6, 9, 9)
    layer.weight.assign_(tt.Tensor(near.astype(np.float32)))
    np.testing.assert_allclose(thin(x).data, model(x).data, atol=1e-5)
    assert [m.weight.shape for m in thin[0]] == [(7, 6, 3, 3), (12, 7, 1, 1)]
    np.testing.assert_allclose(report.rows[0].energy, np.square(s[:7]).sum() / np.square(s).sum())


def test_the_model_itself_stays() -> None:
    model = CNN(image_size=8, generator=Generator(0))
    before = {name: t.numpy() for name, t in model.state_dict().items()}
    thin, _ = factorize(model, energy=0.5)
    assert all(np.array_equal(before[name], t.data) for name, t in model.state_dict().items())
    assert thin.num_parameters() < model.num_parameters()
    x = model.example_input
    assert thin(x).shape == model(x).shape
    thin(x).sum().backward()
    assert all(p.grad is not None for p in thin.parameters())


def test_energy_and_budget() -> None:
    model = MLP((60, 40, 30, 10), generator=Generator(3))
    _, report = factorize(model, energy=0.6)
    for row in report.rows:
        s = np.linalg.svd(dict(model.named_modules())[row.path].weight.data, compute_uv=False)
        assert row.why or row.rank == rank_for_energy(s, 0.6)
        assert row.energy >= 0.6
    total = 60 * 40 + 40 * 30 + 30 * 10
    for budget, allowed in ((1500, 1500), (0.5, total // 2)):
        thin, report = factorize(model, budget=budget)
        assert report.after <= allowed < report.before
        assert thin.num_parameters() == report.after + 80


def test_whitened_factors_lose_least_of_results() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(24, 24)) * np.geomspace(1, 0.01, 24)
    x = (rng.normal(size=(500, 24)) @ mix.T).astype(np.float32)
    model = nn.Sequential(nn.Linear(24, 16, generator=Generator(0)))
    w = model[0].weight.data.astype(np.float64)
    errors = {}
    for name, calibration in (("weights", None), ("results", [tt.Tensor(x)])):
        thin, report = factorize(model, rank=4, calibration=calibration)
        errors[name] = np.linalg.norm(x @ w.T + model[0].bias.data - thin(tt.Tensor(x)).data)
        assert report.whitened == (name == "results")
    # no map of rank 4 is nearer to these results than their own truncated SVD
    least = np.linalg.norm(np.linalg.svd(x @ w.T, compute_uv=False)[4:])
    assert least * 0.999 <= errors["results"] < 1.02 * least
    assert errors["results"] < 0.8 * errors["weights"]


def test_whitening_is_a_root_of_the_damped_gram() -> None:
    x = matrix(3, 6)  # fewer rows than columns: the gram has no inverse
    gram = x.T.astype(np.float64) @ x
    s, inverse = whitening(gram)
    np.testing.assert_allclose(s @ inverse, np.eye(6), atol=1e-9)
    np.testing.assert_allclose(s @ s.T, gram + np.eye(6) * np.trace(gram) / 6 * 1e-3, atol=1e-9)


def test_layers_that_stay_say_why() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grouped = nn.Conv2d(8, 8, 3, groups=2)
            self.first = nn.Linear(20, 20)
            self.second = nn.Linear(20, 20)
            self.second.weight = self.first.weight
            self.twice = nn.Linear(20, 20)
            self.again = nn.Sequential(self.twice)
            self.free = nn.Linear(20, 20)

    thin, report = factorize(Odd(), rank=2)
    why = {row.path: row.why for row in report.rows}
    assert "2 groups" in why["grouped"]
    assert "same weight" in why["first"]
    assert "same weight" in why["second"]
    assert "two places" in why["twice"]
    assert why["free"] == ""
    assert isinstance(thin.free, nn.Sequential)
    assert [row.after == row.before for row in report.rows] == [True, True, True, True, False]
    with pytest.raises(CompressionError, match="parameters"):
        factorize(Odd(), budget=500)


def test_two_layers_of_the_same_size_are_no_gain() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    thin, report = factorize(model, rank=2)  # 2 * (4 + 4) = 4 * 4
    assert type(thin[0]) is nn.Linear
    assert (report.rows[0].rank, report.rows[0].after, report.rows[0].energy) == (4, 16, 1.0)
    assert "rank 2 are no smaller" in report.rows[0].why


def test_chosen_layers_and_ranks_by_path() -> None:
    model = MLP((30, 30, 30, 4))
    thin, report = factorize(model, rank={"layers.2": 5})
    assert [row.path for row in report.rows] == ["layers.2"]
    assert type(thin.layers[0]) is nn.Linear
    assert thin.layers[2][0].weight.shape == (5, 30)
    thin, _ = factorize(model, energy=0.3, layers=["layers.0"])
    assert type(thin.layers[2]) is nn.Linear
    assert type(thin.layers[0]) is nn.Sequential


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "one of"),
        ({"rank": 2, "energy": 0.5}, "one of"),
        ({"rank": 0}, "rank 0"),
        ({"energy": 1.5}, "energy"),
        ({"budget": 1.5}, "budget"),
        ({"budget": 10}, "at rank 1"),
        ({"rank": 2, "layers": ["layers.9"]}, "layers.9"),
    ],
)
def test_bad_requests(options: dict, match: str) -> None:
    with pytest.raises(CompressionError, match=match):
        factorize(MLP((20, 16, 4)), **options)


def test_models_that_cannot_be_factorised() -> None:
    with pytest.raises(CompressionError, match="Sequential"):
        factorize(nn.Linear(9, 9), rank=2)
    with pytest.raises(CompressionError, match="no Linear"):
        factorize(nn.Sequential(nn.ReLU()), rank=2)
    model = MLP((20, 16, 4))
    model.layers[0].weight.assign_(tt.Tensor(np.full((16, 20), np.nan, np.float32)))
    with pytest.raises(CompressionError, match=r"layers\.0 is not finite"):
        factorize(model, rank=2)
