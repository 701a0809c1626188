"""The short way into a program: taken where nothing changed, and left at every kind of difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import close
from tinytorch import nn
from tinytorch.acceleration.compiled import Compiled
from tinytorch.acceleration.variant import MOST_SHORTCUTS, Variant
from tinytorch.errors import ShapeError
from tinytorch.tensor import Tensor, from_numpy


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with tt.no_grad():
        yield


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[Variant]:
    """Programs that were run the long way."""
    found: list[Variant] = []
    original = Variant.run

    def run(self: Variant, tensors: Any, watched: bool = False) -> Any:
        found.append(self)
        return original(self, tensors, watched)

    monkeypatch.setattr(Variant, "run", run)
    return found


class Scaled(nn.Module):
    """A model with values of several kinds, which the code reads."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.gain = 2.5
        self.steps = [1.5, 2.5]
        self.options = {"shift": 0.25}

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = x * step
        return self.layer(x) * self.gain + self.options["shift"]  # type: ignore[no-any-return]


def ready() -> tuple[Scaled, Compiled, Tensor]:
    """A model, compiled and called."""
    model, x = Scaled(), tt.randn(3, 6)
    fast = tt.compile(model)
    fast(x)
    fast(x)
    return model, fast, x


def test_it_is_taken_where_nothing_has_changed(long_ways: list[Variant]) -> None:
    model, fast, x = ready()
    fast(x)
    count = len(long_ways)
    for _ in range(3):
        y = from_numpy(np.random.default_rng(0).random((3, 6), np.float32))
        close(fast(y), model(y))
    assert len(long_ways) == count
    model.layer.weight.assign_(model.layer.weight * 2)  # the long way makes packed weights anew
    close(fast(x), model(x))
    assert len(long_ways) == count + 1
    close(fast(x), model(x))
    assert len(long_ways) == count + 1


def _set(name: str, value: Any) -> Any:
    return lambda model: setattr(model, name, value)


@pytest.mark.parametrize(
    "change",
    [
        _set("gain", -1.0),
        _set("steps", [3.0]),
        lambda model: model.steps.append(0.5),
        lambda model: model.steps.clear(),
        lambda model: model.options.update(shift=9.0),
        lambda model: model.options.update(other=9.0),
        _set("layer", nn.Linear(6, 4)),
        lambda model: model.layer.weight.assign_(7.0),
        lambda model: model.eval(),
    ],
)
def test_a_change_of_what_the_code_reads(change: Any) -> None:
    model, fast, x = ready()
    change(model)
    for _ in range(3):
        close(fast(x), model(x))


def test_a_value_that_is_gone() -> None:
    model, fast, x = ready()
    del model.options["shift"]
    model.options["shft"] = 1.0  # as many as before
    with pytest.raises(KeyError, match="shift"):
        fast(x)


@pytest.mark.parametrize(
    "other",
    [
        tt.randn(2, 6),
        tt.randn(3, 6).to("float64"),
        from_numpy(np.asfortranarray(np.random.default_rng(0).random((3, 6), np.float32))),
        from_numpy(np.ones((3, 12), np.float32)[:, ::2]),
        nn.Parameter(tt.randn(3, 6)),
    ],
)
def test_other_arguments(other: Tensor) -> None:
    _, fast, _ = ready()
    model = fast.function
    if other.dtype == tt.float64:
        model, fast = model.to("float64"), fast
    close(fast(other), model(other))
    close(fast(other), model(other))


def test_an_argument_that_the_model_holds_itself(long_ways: list[Variant]) -> None:
    model, x = Scaled(), tt.randn(3, 6)
    model.example = x
    fast = tt.compile(model)
    for _ in range(3):
        close(fast(x), model(x))
    assert fast.__dict__["_last"].shortcut is not None
    count = len(long_ways)
    fast(x)
    assert len(long_ways) == count
    other = tt.randn(3, 6)
    for _ in range(2):
        close(fast(other), model(other))
    x.assign_(x * 2)
    for given in (x, other, x):
        close(fast(given), model(given))


def test_arguments_that_are_one_and_those_that_are_two() -> None:
    fast = tt.compile(lambda a, b: a * 2 + b.exp())
    a, b = tt.randn(4), tt.randn(4)
    for first, second in ((a, b), (a, b), (a, b), (a, a), (a, a), (b, a), (a, b)):
        close(fast(first, second), first * 2 + second.exp())
    with pytest.raises(TypeError):
        fast(a)


def test_gradients_switched_on() -> None:
    model, fast, x = ready()
    with tt.enable_grad():
        found = fast(x)
        found.sum().backward()
    assert model.layer.weight.grad is not None
    close(fast(x), model(x))


def test_another_number_of_threads_has_another_program() -> None:
    model, x = nn.Linear(600, 600), tt.randn(300, 600)
    fast = tt.compile(model)
    before = tt.get_num_threads()
    try:
        for count in (1, 2, 1, 2, 1, 1):
            tt.set_num_threads(count)
            for _ in range(2):
                close(fast(x), model(x), 1e-4)
    finally:
        tt.set_num_threads(before)


def test_values_replaced_by_equal_ones_get_a_new_way_now_and_then(long_ways: list[Variant]) -> None:
    model, fast, x = ready()
    for i in range(3 * MOST_SHORTCUTS):
        model.gain = float("2.5" + "0" * i)  # another object each time
        close(fast(x), model(x))
        close(fast(x), model(x))
    assert len(long_ways) >= 3 * MOST_SHORTCUTS
    variant = fast.__dict__["_last"]
    assert variant._shortcuts == MOST_SHORTCUTS


def test_a_program_that_checks_values_has_none() -> None:
    table = nn.Embedding(5, 3)
    fast = tt.compile(table)
    for _ in range(2):
        fast(Tensor([1, 4]))
    assert fast.__dict__["_last"].shortcut is None
    with pytest.raises(ShapeError, match="id 5"):
        fast(Tensor([1, 5]))
