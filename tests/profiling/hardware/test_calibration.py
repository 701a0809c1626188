"""This machine's calibration: intervals against SciPy, models held out indeed, figures kept and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from scipy.stats import norm

from tinytorch.models import BERT, GPT
from tinytorch.profiling.hardware import calibration as module
from tinytorch.profiling.hardware.calibration import (
    Calibration,
    Check,
    calibrate,
    held_out,
    predicted,
    validate,
)
from tinytorch.profiling.hardware.rates import KINDS, Curve, Rates, cases, kind_of
from tinytorch.profiling.hardware.workload import Demand, Workload, record, record_call
from tinytorch.profiling.subject import subject_of
from tinytorch.random import Generator

FLAT = {kind: Rates(1e-6, Curve((1.0,), (1e9,)), Curve((1.0,), (1e9,))) for kind in KINDS}
WORK = Workload("w", (Demand("linear", 2e6, 1e6, 2e6, 2), Demand("reshape", 0, 0, 0, 3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("kept")
        patch.setenv("TINYTORCH_DATA", str(path))
        yield path / "machine"


@pytest.fixture(scope="module")
def measured(folder: Path) -> Calibration:
    return calibrate()


# ---------------------------------------------------------------- arithmetic


def test_a_pass_is_the_sum_of_its_ops() -> None:
    # 2 products of 1e6 FLOPs: 1 ms each and a call; 3 views: a call each
    assert predicted(FLAT, WORK) == pytest.approx(2 * (1e-3 + 1e-6) + 3e-6)


def test_errors_are_shares_of_what_was_measured() -> None:
    checks = tuple(Check(str(i), p, 1.0) for i, p in enumerate((0.5, 0.9, 1.0, 1.3, 2.0)))
    assert [check.error for check in checks] == pytest.approx([-0.5, -0.1, 0.0, 0.3, 1.0])
    assert Calibration(1, "", FLAT, checks).median_error == pytest.approx(0.3)


def test_the_interval_is_that_of_one_more_ratio() -> None:
    """With many ratios of a known scatter, 95 % lie within 1.96 of it: the normal limit."""
    scatter = 0.2
    many = [scatter * float(norm.ppf((i + 0.5) / 4000)) for i in range(4000)]
    found = Calibration(1, "", FLAT, tuple(Check("", 1.0, math.exp(z)) for z in many)).seconds(WORK)
    value = predicted(FLAT, WORK)
    assert found.value == value
    assert found.high == pytest.approx(value * math.exp(1.96 * scatter), rel=5e-3)
    assert found.low == pytest.approx(value / math.exp(1.96 * scatter), rel=5e-3)


def test_few_models_make_a_wider_interval_and_a_bias_widens_it_too() -> None:
    def width(ratios: list[float]) -> float:
        checks = tuple(Check("", 1.0, math.exp(z)) for z in ratios)
        found = Calibration(1, "", FLAT, checks).seconds(WORK)
        assert found.high is not None
        return found.high / found.value

    assert width([0.1, -0.1]) > width([0.1, -0.1] * 5) > 1.1
    assert width([0.3] * 6) > math.exp(0.3)  # all off to one side: still inside
    assert width([0.0] * 6) == 1.0


# ---------------------------------------------------------------- models held out


def test_held_out_models_are_of_four_kinds_and_many_sizes() -> None:
    found = held_out()
    assert len(found) >= 6
    assert len({type(model) for model, _ in found.values()}) == 4
    assert len({shape[0] for _, shape in found.values()}) >= 4


def test_no_op_that_was_calibrated_is_one_of_a_model_held_out() -> None:
    """The calls measured for rates (tiny ones aside) and those of the models differ in work."""
    rng = Generator(0)
    calibrated = {
        (kind_of(op), op.flops, op.bytes)
        for case in cases()
        for op in record_call(case.run)
        if case.tells != "call"
    }
    for name, (model, shape) in held_out().items():
        x = rng.randint(0, 256, shape) if isinstance(model, GPT | BERT) else rng.rand(*shape)
        ops = record(subject_of(model.eval(), (x,))).ops
        same = [op for op in ops if (kind_of(op), op.flops, op.bytes) in calibrated]
        assert not same, f"{name}: {same}"


def test_all_models_are_checked_and_errors_are_finite(measured: Calibration) -> None:
    assert {check.name for check in measured.checks} == set(held_out())
    assert all(math.isfinite(check.error) and check.error > -1 for check in measured.checks)
    assert all(0 < check.measured < 60 for check in measured.checks)
    assert 0 <= measured.median_error < math.inf


def test_validate_predicts_from_the_rates_it_is_given() -> None:
    slow = {kind: Rates(1.0) for kind in KINDS}
    for check in validate(slow):
        assert check.predicted == round(check.predicted), "a second for each op"
        assert check.predicted >= 4
        assert check.measured < check.predicted


# ---------------------------------------------------------------- measured and kept


def test_what_is_kept_is_what_was_measured(measured: Calibration, folder: Path) -> None:
    assert set(measured.rates) == set(KINDS)
    assert measured.rates["view"].flops is None
    (file,) = folder.iterdir()
    before = file.read_bytes()
    assert calibrate() == measured
    assert file.read_bytes() == before


CURVED = {**FLAT, "product": Rates(1e-6, Curve((1.0, 2.0), (1e9, 2e9)), None, Curve((1.0,), (1.0,)))}
SOUND = Calibration(1, "2026-01-01", CURVED, (Check("mlp", 1.0, 2.0),), ("a note",))


def test_figures_survive_json() -> None:
    assert module._sound(json.loads(json.dumps(asdict(SOUND)))) == SOUND


@pytest.mark.parametrize(
    "broken",
    [
        replace(SOUND, checks=()),
        replace(SOUND, checks=(Check("mlp", 0.0, 1.0),)),
        replace(SOUND, checks=(Check("mlp", 1.0, math.nan),)),
        replace(SOUND, rates={}),
        replace(SOUND, rates={k: r for k, r in FLAT.items() if k != "view"}),
        replace(SOUND, rates={**FLAT, "view": Rates(-1.0)}),
        replace(SOUND, rates={**FLAT, "simple": Rates(1.0, Curve((), ()))}),
        replace(SOUND, rates={**FLAT, "simple": Rates(1.0, Curve((1.0, 2.0), (1.0,)))}),
        replace(SOUND, rates={**FLAT, "simple": Rates(1.0, Curve((2.0, 1.0), (1.0, 1.0)))}),
        replace(SOUND, rates={**FLAT, "simple": Rates(1.0, None, Curve((1.0,), (0.0,)))}),
    ],
)
def test_figures_that_cannot_be_are_refused(broken: Calibration) -> None:
    assert module._sound(json.loads(json.dumps(asdict(broken)))) is None


@pytest.mark.parametrize("figures", [{}, {"threads": 1}, {**asdict(SOUND), "rates": [1]}])
def test_other_figures_are_refused(figures: dict[str, object]) -> None:
    assert module._sound(json.loads(json.dumps(figures))) is None
