"""Which layers stay in float32 or get more bits: those that cost too much, and those that are slower."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.quantization.simulation import Array, mlp, normal, run
from tinytorch import Tensor, no_grad
from tinytorch.nn import Linear, Module, ReLU, Sequential
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER, SAME, SLOWER
from tinytorch.quantization import quantize
from tinytorch.quantization.speed import Race
from tinytorch.random import Generator

X = normal(0, 60, 16)


def sensitive() -> Sequential:
    """With one scale for all, one row, which ReLU cuts off, leaves the rest of the first layer no codes."""
    generator = Generator(1)
    model = Sequential(Linear(16, 12, generator=generator), ReLU(), Linear(12, 5, generator=generator))
    with no_grad():
        weight, bias = model[0].weight.data.copy(), model[0].bias.data.copy()
        weight[7], bias[7] = weight[7] * 1e4, -1e7
        model[0].weight.assign_(weight)
        model[0].bias.assign_(bias)
    model.eval()
    return model


def kinds(model: Module) -> list[str]:
    return [type(m).__name__ for m in model.children()]


# ---------------------------------------------------------------- what is lost


def test_the_layer_that_costs_most_goes_back_to_float32() -> None:
    model = sensitive()
    q = quantize(model, [X], "int8-tensor", prefer="size", max_loss=0.001)
    assert kinds(q) == ["Linear", "ReLU", "QuantizedLinear"]
    first, last = q.report().layers
    assert (first.kept, last.kept) == (False, True)
    assert first.cost is not None
    assert last.cost is not None
    assert first.cost > 0.1 > 0.001 > last.cost
    assert f"costs {first.cost:.4f} alone; all were" in first.why
    assert "over 0.001 allowed" in first.why
    assert q.report().cost <= 0.001
    np.testing.assert_array_equal(q.network[0].weight.data, model[0].weight.data)
    assert "reverted" in repr(q.report()).splitlines()[2]
    report = q.report()
    assert report.after.resident == first.before.resident + last.after.resident


def test_what_is_allowed_is_kept() -> None:
    q = quantize(sensitive(), [X], "int8-tensor", prefer="size", max_loss=1.0)
    assert kinds(q) == ["QuantizedLinear", "ReLU", "QuantizedLinear"]
    assert q.report().cost > 0.1
    per_channel = quantize(sensitive(), [X], "int8", prefer="size", max_loss=0.001)
    assert kinds(per_channel) == kinds(q)


def test_where_nothing_may_be_lost_all_goes_back() -> None:
    model = sensitive()
    q = quantize(model, [X], "int8-tensor", prefer="size", max_loss=0.0)
    np.testing.assert_array_equal(run(q, X), run(model, X))
    assert kinds(q) == kinds(model)
    assert not any(row.kept for row in q.report().layers)
    assert q.report().cost == 0
    assert q.report().before == q.report().after


def test_layers_go_back_one_after_the_other_the_most_harmful_first() -> None:
    """By a metric that knows what each layer costs: the sum of what those on codes cost."""
    model, price = mlp(16, 8, 8, 8, 4), {"0": 0.4, "2": 0.1, "4": 0.3, "6": 0.2}

    def metric(m: Module) -> float:
        return -sum(price[name] for name, layer in m.layers.named_children() if hasattr(layer, "codes"))

    for allowed, kept in [(1.0, "0246"), (0.7, "246"), (0.35, "26"), (0.15, "2"), (0.05, "")]:
        q = quantize(model, [X], prefer="size", metric=metric, max_loss=allowed)
        rows = {row.path[-1]: row for row in q.report().layers}
        assert "".join(path for path, row in rows.items() if row.kept) == kept
        assert {path: row.cost for path, row in rows.items()} == pytest.approx(price)
        assert q.report().cost == pytest.approx(sum(price[path] for path in kept))


def test_a_figure_that_is_no_number_allows_nothing() -> None:
    def metric(m: Module) -> float:
        return math.nan if hasattr(m[0], "codes") else 1.0

    q = quantize(sensitive(), [X], prefer="size", metric=metric, max_loss=1.0)
    assert kinds(q) == ["Linear", "ReLU", "QuantizedLinear"]


def test_without_a_scan_costs_of_layers_are_known_only_where_they_decide() -> None:
    loose = quantize(sensitive(), [X], "int8-tensor", prefer="size", max_loss=1.0, scan=False)
    assert [row.cost for row in loose.report().layers] == [None, None]
    assert loose.report().cost > 0.1
    tight = quantize(sensitive(), [X], "int8-tensor", prefer="size", max_loss=0.001, scan=False)
    scanned = quantize(sensitive(), [X], "int8-tensor", prefer="size", max_loss=0.001)
    assert repr(tight.report()) == repr(scanned.report())


def test_validation_data_decide_not_calibration() -> None:
    model = sensitive()
    labels = run(model, X).argmax(1)
    wrong = (labels + 1) % 5
    for targets, kept in ((labels, False), (wrong, True)):
        q = quantize(
            model, [X], "int8-tensor", prefer="size", validation=[(X, Tensor(targets))], max_loss=0.003
        )
        assert q.report().score == "accuracy"
        assert q.report().score_before == (0.0 if kept else 1.0)
        assert q.report().layers[0].kept is kept


# ---------------------------------------------------------------- more bits


def four_bit_weights(layer: Linear) -> None:
    """Give a layer weights that four bits hold exactly."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-7, 8, layer.weight.shape)
    codes[:, ::8] = 7
    with no_grad():
        layer.weight.assign_((codes * 0.25).astype(np.float32))


def relative_error(model: Module) -> Callable[[Module], float]:
    wanted = run(model, X).astype(np.float64)

    def metric(other: Module) -> float:
        return -float(np.sqrt(np.square(run(other, X) - wanted).sum() / np.square(wanted).sum()))

    return metric


def test_mixed_gives_more_bits_where_four_cost_too_much() -> None:
    model = Sequential(Linear(16, 32, generator=Generator(1)), Linear(32, 5, generator=Generator(2)))
    model.eval()
    four_bit_weights(model[1])
    metric = relative_error(model)
    q = quantize(model, [X], "mixed", prefer="size", rounding="nearest", metric=metric, max_loss=0.03)
    assert [(row.path, row.kept, row.scheme) for row in q.report().layers] == [
        *(("0", True, "mixed"), ("1", True, "int4-g128"))
    ]
    assert [m.bits for m in q.children()] == [8, 4]
    assert q.report().layers[0].why.startswith("mixed: int4-g128 costs 0.")
    assert q.report().cost <= 0.03
    loose = quantize(model, [X], "mixed", prefer="size", rounding="nearest", metric=metric, max_loss=0.5)
    assert [m.bits for m in loose.children()] == [4, 4]
    tight = quantize(model, [X], "mixed", prefer="size", rounding="nearest", metric=metric, max_loss=0.0)
    assert kinds(tight) == ["Linear", "Linear"]


def test_mixed_takes_eight_bits_where_four_do_not_fit() -> None:
    q = quantize(mlp(16, 12, 4), [X], "mixed", prefer="size", max_loss=1.0)
    assert [q.layers[0].bits, q.layers[2].bits] == [4, 8]
    assert q.report().left == ()


# ---------------------------------------------------------------- speed


def race_of(gain: float, word: str) -> Race:
    return Race(Estimate(gain * 1e-3, 1e-4, 1e-2), Estimate(1e-3, 1e-4, 1e-2), Estimate(gain, 0.9, 3.0), word)


class Races:
    """Stands in for measurements: what each layer gains, by its outputs; of the whole, what a rule says."""

    def __init__(self, gains: dict[int, float], whole: Callable[[Module], str] = lambda m: FASTER) -> None:
        self.gains, self.whole = gains, whole
        self.layers: list[tuple[str, str, tuple[int, ...]]] = []
        self.models: list[list[str]] = []

    def __call__(self, before: Module, after: Module, *inputs: Tensor, seed: int = 0) -> Race:
        if not isinstance(before, Linear):
            assert kinds(before.layers) == [k.replace("Quantized", "") for k in kinds(after.layers)]
            self.models.append(kinds(after.layers)[::2])
            return race_of(1.5, self.whole(after))
        (x,) = inputs
        self.layers.append((type(before).__name__, type(after).__name__, x.shape))
        gain = self.gains[before.out_features]
        return race_of(gain, SLOWER if gain < 0.9 else FASTER if gain > 1.1 else SAME)


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> Callable[[Races], Races]:
    def put(races: Races) -> Races:
        module: Any = importlib.import_module("tinytorch.quantization.quantize")
        monkeypatch.setattr(module, "race", races)
        return races

    return put


def test_layers_that_codes_make_slower_stay_in_float32(raced: Any) -> None:
    races = raced(Races({12: 2.0, 8: 0.5, 4: 1.0}))
    q = quantize(mlp(16, 12, 8, 4), [X])
    rows = q.report().layers
    assert [row.kept for row in rows] == [True, False, True]
    assert rows[1].why == "2.00x slower on codes"
    assert [row.race.gain.value for row in rows if row.race] == [2.0, 0.5, 1.0]
    assert kinds(q.layers)[::2] == ["QuantizedLinear", "Linear", "QuantizedLinear"]
    assert races.layers == [("Linear", "QuantizedLinear", (1, k)) for k in (16, 12, 8)]
    assert races.models == [["QuantizedLinear", "Linear", "QuantizedLinear"]]
    assert q.report().race is not None
    assert q.report().race.word == FASTER
    text = repr(q.report())
    assert "2.00x slower on codes" in text
    assert text.splitlines()[-1].startswith("time ")
    assert text.splitlines()[-1].endswith("compiled: 1.50x [0.90, 3.00], faster")


def test_layers_of_equal_sizes_are_timed_once(raced: Any) -> None:
    races = raced(Races({16: 2.0, 4: 1.5}))
    q = quantize(mlp(16, 16, 16, 4), [X])
    assert [shape for _, _, shape in races.layers] == [(1, 16), (1, 16)]
    assert all(row.race for row in q.report().layers)


def test_where_all_layers_are_slower_the_model_stays(raced: Any) -> None:
    races = raced(Races({12: 0.5, 8: 0.5, 4: 0.5}))
    model = mlp(16, 12, 8, 4)
    q = quantize(model, [X])
    assert not any(row.kept for row in q.report().layers)
    np.testing.assert_array_equal(run(q, X), run(model, X))
    assert races.models == []
    assert q.report().race is None


def test_a_model_that_is_slower_as_a_whole_loses_the_layer_that_gains_least(raced: Any) -> None:
    def slower_while_more_than_one(after: Module) -> str:
        return SLOWER if kinds(after.layers).count("QuantizedLinear") > 1 else SAME

    races = raced(Races({12: 1.3, 8: 2.0, 4: 1.2}, slower_while_more_than_one))
    q = quantize(mlp(16, 12, 8, 4), [X])
    assert races.models == [
        ["QuantizedLinear", "QuantizedLinear", "QuantizedLinear"],
        ["QuantizedLinear", "QuantizedLinear", "Linear"],
        ["Linear", "QuantizedLinear", "Linear"],
    ]
    rows = q.report().layers
    assert [row.kept for row in rows] == [False, True, False]
    assert {row.why for row in rows if not row.kept} == {"the whole model was slower with it"}
    assert kinds(q.layers)[::2] == races.models[-1]
    assert q.report().race is not None
    assert q.report().race.word == SAME


def test_a_model_that_is_slower_whatever_it_loses_stays(raced: Any) -> None:
    raced(Races({12: 1.3, 8: 2.0, 4: 1.2}, lambda after: SLOWER))
    model = mlp(16, 12, 8, 4)
    q = quantize(model, [X])
    assert kinds(q.layers) == kinds(model.layers)
    assert q.report().race is None


def test_size_times_nothing(raced: Any) -> None:
    races = raced(Races({12: 0.5, 8: 0.5, 4: 0.5}, lambda after: SLOWER))
    q = quantize(mlp(16, 12, 8, 4), [X], prefer="size")
    assert all(row.kept and row.race is None for row in q.report().layers)
    assert races.layers == races.models == []


def test_times_are_taken_on_this_machine() -> None:
    model = mlp(16, 8, 4)
    q = quantize(model, [X], max_loss=1.0)
    for row in q.report().layers:
        assert row.race is not None
        assert row.race.word in (FASTER, SLOWER, SAME)
        assert not (row.kept and row.race.loses)
        assert row.kept or "slower" in row.why
        assert row.race.before.value > 0
        assert row.race.after.value > 0
    kept = [row.kept for row in q.report().layers]
    assert (q.report().race is not None) == any(kept)
    assert q.report().race is None or not q.report().race.loses
    found: Array = run(q, X)
    assert np.isfinite(found).all()
