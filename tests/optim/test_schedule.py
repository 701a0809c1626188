"""Schedules against figures worked out by hand, and clipping against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinytorch.errors import CheckpointError, GradientError
from tinytorch.optim import SGD, CosineWithWarmup, StepLR, clip_grad_norm
from tinytorch.tensor import Tensor


def optimizer() -> SGD:
    groups = [{"params": [Tensor([1.0], requires_grad=True)], "lr": lr} for lr in (0.1, 1.0)]
    return SGD(groups)


def rates(o: SGD) -> list[float]:
    return [float(group["lr"]) for group in o.param_groups]


def test_step_lr_changes_all_groups_after_each_period() -> None:
    o = optimizer()
    schedule = StepLR(o, step_size=2, gamma=0.5)
    found = []
    for _ in range(5):
        found.append(rates(o))
        schedule.step()
    expected = [[0.1, 1.0], [0.1, 1.0], [0.05, 0.5], [0.05, 0.5], [0.025, 0.25]]
    np.testing.assert_allclose(found, expected)


def test_cosine_rises_in_a_line_and_falls_to_its_floor() -> None:
    o = optimizer()
    schedule = CosineWithWarmup(o, warmup=4, total=12, min_ratio=0.2)
    assert rates(o) == pytest.approx([0.025, 0.25])
    expected = [0.25, 0.5, 0.75, 1.0]
    expected += [0.2 + 0.4 * (1 + math.cos(math.pi * k / 8)) for k in range(9)] + [0.2, 0.2]
    for step, factor in enumerate(expected):
        schedule.at(step)
        assert rates(o)[1] == pytest.approx(factor), step


def test_without_warmup_it_starts_at_the_top() -> None:
    assert CosineWithWarmup(optimizer(), warmup=0, total=10).factor(0) == 1.0
    assert CosineWithWarmup(optimizer(), warmup=10, total=10).factor(9) == 1.0


def test_a_stored_schedule_goes_on() -> None:
    one, two = (
        optimizer(),
        SGD([{"params": [Tensor([1.0], requires_grad=True)], "lr": lr} for lr in (9.0, 9.0)]),
    )
    first, second = CosineWithWarmup(one, 2, 9), CosineWithWarmup(two, 2, 9)
    for _ in range(5):
        first.step()
    second.load_state_dict(first.state_dict())
    first.step()
    second.step()
    assert rates(one) == rates(two)


@pytest.mark.parametrize(
    "state",
    [{}, {"count": -1, "base": [0.1, 1.0]}, {"count": 1, "base": [0.1]}, {"count": 1, "base": ["a", "b"]}],
)
def test_a_state_that_does_not_fit_is_refused(state: dict[str, object]) -> None:
    o = optimizer()
    schedule = StepLR(o, 2)
    with pytest.raises(CheckpointError, match="StepLR"):
        schedule.load_state_dict(state)
    assert rates(o) == [0.1, 1.0]
    assert schedule.count == 0


def test_settings_out_of_range() -> None:
    for make in (
        lambda o: StepLR(o, 0),
        lambda o: StepLR(o, 2, -1),
        lambda o: CosineWithWarmup(o, 5, 4),
        lambda o: CosineWithWarmup(o, -1, 4),
        lambda o: CosineWithWarmup(o, 1, 4, 1.5),
    ):
        with pytest.raises(ValueError, match="StepLR|Cosine"):
            make(optimizer())


# ---------------------------------------------------------------- clipping


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clipping_agrees_with_numpy(dtype: str, max_norm: float) -> None:
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal(shape) for shape in ((3, 4), (), (0,), (7,))]
    parameters = [Tensor(np.zeros(g.shape), dtype, requires_grad=True) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = Tensor(g, dtype)
    parameters.append(Tensor([1.0], requires_grad=True))  # has no gradient
    norm = math.sqrt(sum((g**2).sum() for g in gradients))
    assert clip_grad_norm(parameters, max_norm) == pytest.approx(norm, rel=1e-6)
    scale = min(1.0, max_norm / (norm + 1e-6))
    for p, g in zip(parameters, gradients, strict=False):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.data, g * scale, rtol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_reported_and_nothing_scaled(bad: float) -> None:
    a, b = Tensor([1.0, 1.0], requires_grad=True), Tensor([0.0, 0.0, 0.0], requires_grad=True)
    a.grad, b.grad = Tensor([3.0, 4.0]), Tensor([1.0, bad, 1.0])
    with pytest.raises(GradientError, match=r"1 of 2 .*\(3,\)"):
        clip_grad_norm([a, b], 1.0)
    np.testing.assert_array_equal(a.grad.data, [3.0, 4.0])


def test_clipping_needs_something_to_clip_to() -> None:
    assert clip_grad_norm([Tensor([1.0], requires_grad=True)], 1.0) == 0.0
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm([], 0.0)
