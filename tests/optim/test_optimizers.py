"""Optimizers against hand-computed steps, their groups, their stored state, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tinytorch.errors import CheckpointError, GradientError, ShapeError
from tinytorch.optim import SGD, Adam, AdamW, Optimizer
from tinytorch.tensor import Tensor


def parameter(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def step(optimizer: Optimizer, *gradients: tuple[Tensor, list[float]]) -> None:
    for p, g in gradients:
        p.grad = Tensor(np.array(g))
    optimizer.step()


MAKERS: list[Any] = [
    lambda p: SGD(p, lr=0.1),
    lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    lambda p: Adam(p, lr=0.1, weight_decay=0.01),
    lambda p: AdamW(p, lr=0.1),
]
every = pytest.mark.parametrize("make", MAKERS)


def test_sgd_with_momentum_by_hand() -> None:
    p = parameter(1.0)
    optimizer = SGD([p], lr=0.1, momentum=0.5)
    step(optimizer, (p, [2.0]))
    assert p.item() == pytest.approx(0.8)
    step(optimizer, (p, [1.0]))  # buffer 0.5 * 2 + 1 = 2
    assert p.item() == pytest.approx(0.6)


def test_nesterov_looks_ahead() -> None:
    p = parameter(1.0)
    optimizer = SGD([p], lr=0.1, momentum=0.5, nesterov=True)
    step(optimizer, (p, [2.0]))  # 2 + 0.5 * 2
    assert p.item() == pytest.approx(0.7)


def test_adams_first_step_is_the_learning_rate() -> None:
    p = parameter(1.0, -1.0)
    step(Adam([p], lr=0.1), (p, [1e-3, -50.0]))
    np.testing.assert_allclose(p.data, [0.9, -0.9], rtol=1e-4)


def test_decay_is_coupled_in_adam_and_not_in_adamw() -> None:
    a, w = parameter(2.0), parameter(2.0)
    step(Adam([a], lr=0.1, weight_decay=0.5), (a, [1.0]))
    step(AdamW([w], lr=0.1, weight_decay=0.5), (w, [1.0]))
    assert a.item() == pytest.approx(1.9)  # the step is the sign of the gradient, decay or not
    assert w.item() == pytest.approx(2.0 * (1 - 0.05) - 0.1)


@every
def test_a_parameter_without_gradient_stays_and_counts_no_step(make: Any) -> None:
    used, idle = parameter(1.0), parameter(1.0)
    optimizer = make([used, idle])
    step(optimizer, (used, [1.0]))
    assert idle.item() == 1.0
    twin = parameter(1.0)
    late, other = make([idle]), make([twin])
    step(late, (idle, [1.0]))
    step(other, (twin, [1.0]))
    step(optimizer, (used, [1.0]), (idle, [1.0]))
    assert idle.item() != twin.item() or isinstance(optimizer, SGD)


def test_each_parameter_has_its_own_step_count() -> None:
    a, b, alone = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer, other = Adam([a, b], lr=0.1), Adam([alone], lr=0.1)
    step(optimizer, (a, [1.0]))
    step(optimizer, (a, [1.0]), (b, [3.0]))
    step(other, (alone, [3.0]))
    assert b.item() == alone.item()
    assert [int(optimizer.state[p]["step"]) for p in (a, b)] == [2, 1]


def test_zero_grad_forgets() -> None:
    p = parameter(1.0)
    p.grad = Tensor(np.ones(1))
    SGD([p]).zero_grad()
    assert p.grad is None


def test_groups_have_options_of_their_own() -> None:
    a, b, c = parameter(1.0), parameter(1.0), parameter(1.0)
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "weight_decay": 1.0})
    step(optimizer, (a, [1.0]), (b, [1.0]), (c, [1.0]))
    assert (a.item(), b.item(), c.item()) == pytest.approx((0.9, 0.5, 0.8))
    optimizer.param_groups[0]["lr"].assign_(0.0)
    before = a.item()
    step(optimizer, (a, [1.0]))
    assert a.item() == before


# ---------------------------------------------------------------- storing


@every
def test_a_stored_state_goes_on_exactly(make: Any) -> None:
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((8, 2, 5))
    one = [Tensor(rng.standard_normal(5), requires_grad=True) for _ in range(2)]
    optimizer = make(one)
    for number in range(4):
        step(optimizer, *((p, g) for p, g in zip(one, gradients[number], strict=True)))
    two = [Tensor(p.numpy(), requires_grad=True) for p in one]
    other = make(two)
    other.load_state_dict(optimizer.state_dict())
    for number in range(4, 8):
        for o, parameters in ((optimizer, one), (other, two)):
            step(o, *((p, g) for p, g in zip(parameters, gradients[number], strict=True)))
    for p, q in zip(one, two, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_options_come_with_the_state_and_keep_their_types() -> None:
    p, q = parameter(1.0), parameter(1.0)
    stored = json.loads(
        json.dumps(Adam([p], betas=(0.5, 0.25), eps=1, weight_decay=0).state_dict(), default=float)
    )
    other = Adam([q])
    other.load_state_dict(stored)
    group = other.param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.5, 0.25), 1.0, 0.0)
    assert isinstance(group["eps"], float)
    assert group["params"][0] is q


def test_loaded_state_is_a_copy() -> None:
    p, q = parameter(1.0), parameter(1.0)
    optimizer, other = Adam([p]), Adam([q])
    step(optimizer, (p, [1.0]))
    other.load_state_dict(optimizer.state_dict())
    step(other, (q, [1.0]))
    assert int(optimizer.state[p]["step"]) == 1


def _spoil(state: dict[str, Any], how: str) -> dict[str, Any]:
    if how == "missing state":
        del state["state.0.exp_avg"]
    elif how == "extra state":
        state["state.0.other"] = Tensor([1.0])
    elif how == "no such parameter":
        state["state.7.step"] = state["state.0.step"]
    elif how == "shape":
        state["state.0.exp_avg"] = Tensor(np.zeros(3))
    elif how == "dtype":
        state["state.0.exp_avg"] = state["state.0.exp_avg"].to("float32")
    elif how == "missing option":
        del state["groups.0.betas"]
    elif how == "extra group":
        state["groups.1.lr"] = Tensor(0.1)
    elif how == "betas":
        state["groups.0.betas"] = [0.9, 1.5]
    elif how == "betas' length":
        state["groups.0.betas"] = [0.9]
    elif how == "option's kind":
        state["groups.0.eps"] = "small"
    elif how == "count":
        state["groups.0.params"] = 2
    elif how == "lr":
        state["groups.0.lr"] = Tensor(-1.0)
    return state


HOWS = (
    "missing state,extra state,no such parameter,shape,dtype,missing option,extra group,betas,betas' length,"
    "option's kind,count,lr"
)


@pytest.mark.parametrize("how", HOWS.split(","))
def test_a_state_that_does_not_fit_is_refused_whole(how: str) -> None:
    p, q = parameter(1.0, 2.0), parameter(1.0, 2.0)
    optimizer, other = Adam([p], lr=0.5), Adam([q], lr=0.1)
    step(optimizer, (p, [1.0, 1.0]))
    other.load_state_dict(optimizer.state_dict())  # it would load unspoilt
    other = Adam([q], lr=0.1)
    with pytest.raises(CheckpointError, match="Adam"):
        other.load_state_dict(_spoil(optimizer.state_dict(), how))
    assert not other.state
    assert float(other.param_groups[0]["lr"]) == 0.1
    assert other.param_groups[0]["betas"] == (0.9, 0.999)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, lr=-0.1),
        lambda p: SGD(p, lr=float("nan")),
        lambda p: SGD(p, momentum=-1),
        lambda p: SGD(p, nesterov=True),
        lambda p: SGD(p, weight_decay=-1),
        lambda p: Adam(p, betas=(1.0, 0.9)),
        lambda p: Adam(p, betas=(0.9, -0.1)),
        lambda p: Adam(p, eps=-1e-8),
        lambda p: AdamW([{"params": p, "lr": -1.0}]),
        lambda p: AdamW([{"params": p, "momentum": 0.9}]),
    ],
)
def test_options_out_of_range(make: Any) -> None:
    with pytest.raises(ValueError, match="SGD|Adam|AdamW"):
        make([parameter(1.0)])


def test_parameters_that_cannot_be_trained() -> None:
    p = parameter(1.0)
    for given in ([], [Tensor([1.0])], [p * 2], [p, p], [1.0], [{"lr": 0.1}], [{"params": []}]):
        with pytest.raises(GradientError, match="SGD"):
            SGD(given)  # type: ignore[arg-type]
    optimizer = SGD([p])
    with pytest.raises(GradientError, match="twice"):
        optimizer.add_param_group({"params": [p]})


@every
def test_a_gradient_of_another_shape_changes_nothing(make: Any) -> None:
    a, b = parameter(1.0), parameter(1.0, 2.0)
    optimizer = make([a, b])
    with pytest.raises(ShapeError):
        step(optimizer, (a, [1.0]), (b, [1.0]))
    assert a.item() == 1.0
