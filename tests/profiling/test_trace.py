"""Watching ops: each is filed under its module, self times add up to the pass, watching is taken off."""

import itertools
import math

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.nn import Linear, ReLU, Sequential
from tinytorch.ops.elementwise import Exp
from tinytorch.profiling.trace import Key, OpCosts, OpTimer, Pass, Record, filed_under

X = Tensor(np.ones((4, 8), np.float32))


def small() -> Sequential:
    return Sequential(Linear(8, 16), ReLU(), Linear(16, 2))


def test_ops_are_filed_under_their_modules_and_gradients_too() -> None:
    model, costs = small(), OpCosts()
    with no_grad():
        costs.run(lambda: model(X))
    assert [key for key, _ in costs.rows] == [
        Key("0", "linear", False),
        Key("1", "relu", False),
        Key("2", "linear", False),
    ]
    assert [cost.flops for _, cost in costs.rows] == [4 * 16 * (16 + 1), 4 * 16, 4 * 2 * (32 + 1)]

    def step() -> None:
        with filed_under("loss"):
            loss = (model(X) ** 2).sum()
        loss.backward()

    costs.run(step)
    back = {key.path for key, _ in costs.rows if key.backward}
    assert back == {"loss", "loss.0", "loss.1", "loss.2"}


def test_filed_under_ends_with_its_block_even_on_an_error() -> None:
    costs = OpCosts()

    def call() -> None:
        with pytest.raises(ZeroDivisionError), filed_under("part"):
            1 / 0  # noqa: B018
        X.sum()

    costs.run(call)
    assert costs.rows[0][0].path == ""


def test_a_pass_knows_its_ops_in_order_and_returns_the_result() -> None:
    model, timer = small(), OpTimer()
    with no_grad():
        one, result = timer.run(lambda: model(X))
    assert result.shape == (4, 2)
    assert [record.path for record in one.records] == ["0", "1", "2"]
    marks = [one.start]
    for record in one.records:
        marks += [record.start, record.end, record.seen, record.done]
    marks.append(one.end)
    assert all(before <= after for before, after in itertools.pairwise(marks))


def test_self_times_add_up_to_the_pass_less_watching() -> None:
    exp = Exp()
    records = (
        Record("a", exp, False, start=120, end=150, seen=152, done=160),
        Record("a.b", exp, False, start=165, end=185, seen=190, done=194),
        Record("a", exp, True, start=200, end=230, seen=230, done=240),
    )
    one = Pass(100, 300, records)
    whole, kernels = one.self_times()
    ns = 1e-9
    assert whole[Key("a", "exp", False)] == pytest.approx(52 * ns)  # from 100 to 152
    assert whole[Key("a.b", "exp", False)] == pytest.approx(30 * ns)  # from 160 to 190
    assert whole[Key("a", "exp", True)] == pytest.approx(36 * ns)  # from 194 to 230
    assert whole[Key("", "", False)] == pytest.approx(60 * ns)  # from 240 to the end
    assert kernels[Key("a", "exp", False)] == pytest.approx(30 * ns)
    assert math.isclose(sum(whole.values()), one.seconds)
    assert one.seconds == pytest.approx((200 - 8 - 4 - 10) * ns)


def test_what_watches_beside_the_timer_counts_as_watching() -> None:
    model, counter = small(), OpCosts()
    timer = OpTimer(counter)
    with no_grad():
        one, _ = timer.run(lambda: model(X))
    assert len(counter.rows) == len(one.records) == 3
    assert one.seconds < (one.end - one.start) * 1e-9


def test_an_error_passes_through_and_nobody_watches_afterwards() -> None:
    timer, costs = OpTimer(), OpCosts()
    for watcher in (timer, costs):
        with pytest.raises(ZeroDivisionError):
            watcher.run(lambda: X.sum() and 1 / 0)
    costs.run(lambda: None)
    X.sum()
    assert costs.rows == []
