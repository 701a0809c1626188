"""What a count leaves behind (nothing), models that read values, and bad input."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.profiling.counting.switches import switches
from tinytorch import nn
from tinytorch.errors import DTypeError, ProfilingError, ShapeError
from tinytorch.models import MLP
from tinytorch.nn import functional
from tinytorch.ops.meta import NoData
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.counting.text import text
from tinytorch.tensor import Tensor


class Remembers(nn.Module):
    """A model that changes itself in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.seen: list[Any] = ["before"]
        self.by_name: dict[str, Any] = {}
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.layer(x)
        self.seen.append(self.last)
        self.by_name["last"] = self.last
        self.extra = nn.ReLU()
        return self.extra(self.last)


class Reads(nn.Module):
    """A model whose path depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return self.layer(x) if x.sum().item() > 0 else x


# ---------------------------------------------------------------- nothing left behind


def test_a_model_is_afterwards_what_it_was() -> None:
    model = Remembers()
    layer = model.layer
    assert FLOPCounter().count(model, input_shape=(2, 4)) == 48
    assert (model.seen, model.by_name, model.last) == (["before"], {}, None)
    assert [name for name, _ in model.named_children()] == ["layer"]
    assert model.layer is layer
    assert "extra" not in vars(model)
    assert model(tt.ones(2, 4)).shape == (2, 3)  # and it works for real


def test_buffers_and_random_streams_do_not_move() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    stream = tt.random.default_generator.state.numpy()
    FLOPCounter().count(model, input_shape=(2, 1, 5, 5), backward=True)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    np.testing.assert_array_equal(tt.random.default_generator.state.numpy(), stream)
    assert all(not isinstance(p._array, NoData) for p in model.parameters())


class Fails(nn.Module):
    """A model that gives up when half of it has run."""

    def __init__(self, backward: bool) -> None:
        super().__init__()
        self.layer, self.backward, self.last = nn.Linear(4, 4), backward, None

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        self.last = y
        if self.backward:
            y.sum().backward()
        raise KeyError("enough")


@pytest.mark.parametrize("backward", [True, False])
def test_an_error_passes_through_and_everything_is_as_before(backward: bool) -> None:
    model = Fails(backward)
    mine = tt.ones(4, 4)
    model.layer.weight.grad = mine
    before = switches()
    with pytest.raises(KeyError, match="enough"):
        FLOPCounter().count(model, input_shape=(2, 4), backward=True)
    assert switches() == before
    assert model.layer.weight.grad is mine
    assert model.layer.bias.grad is None
    assert model.last is None
    assert tt.ones(2).sum().item() == 2


def test_other_threads_are_not_counted_and_compute_on() -> None:
    results: list[float] = []

    def elsewhere() -> None:
        results.append((tt.ones(4, 4) @ tt.ones(4, 4)).sum().item())

    def call(x: Tensor) -> Tensor:
        worker = threading.Thread(target=elsewhere)
        worker.start()
        worker.join()
        return x @ x

    assert FLOPCounter().count(call, input_shape=(2, 2)) == 16
    assert results == [64]


def test_a_count_keeps_no_tensor_alive() -> None:
    def blanks() -> int:
        gc.collect()
        return sum(isinstance(o, Tensor) and isinstance(o._array, NoData) for o in gc.get_objects())

    model, before = MLP((4, 3)), blanks()
    flops = FLOPCounter().count(model, input_shape=(2, 4), backward=True)
    assert flops > 0
    assert blanks() == before


# ---------------------------------------------------------------- models that read values


def test_a_model_that_reads_values_runs_once_for_real_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    model = Reads()
    model.layer.weight.assign_(1.0)
    up, down = (FLOPCounter().count(model, inputs=tt.full((2, 4), v)) for v in (9.0, -9.0))
    assert (up, down) == (2 * 64, 64)
    assert len(up.notes) == 1
    assert "ran once for real" in up.notes[0]
    assert "Note: the model reads values, so it ran once for real" in text(up)
    assert "ran once for real" in "".join(capsys.readouterr())
    both = FLOPCounter().count(model, inputs=tt.full((2, 4), 9.0), backward=True)
    assert both.backward_flops == 64 + 2 * 64
    assert model.layer.weight.grad is None


def test_a_model_that_reads_values_needs_some() -> None:
    with pytest.raises(ProfilingError, match=r"Reads reads values.*inputs=\.\.\., real values"):
        FLOPCounter().count(Reads(), input_shape=(2, 4))
    with tt.meta():
        empty, x = Reads(), {"x": [tt.zeros(2, 4)]}
    with pytest.raises(ProfilingError, match="reads values"):
        FLOPCounter().count(empty, inputs=tt.ones(2, 4))
    with pytest.raises(ProfilingError, match="reads values"):
        FLOPCounter().count(lambda x: x[0].sum().item(), inputs=x)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda c: c.count(MLP((4, 3)), (2, 5)),
            ShapeError,
            r"\(2, 5\).*MLP ran on float32 \(2, 5\), from input",
        ),
        (lambda c: c.count(MLP((4, 3)), inputs=tt.ones(2, 5)), ShapeError, r"\(2, 5\)"),
        (lambda c: c.count(nn.Conv2d(3, 4, 3), (1, 1, 8, 8)), ShapeError, "has 1 channels"),
        (
            lambda c: c.count(MLP((4, 3)), (2, 4), tt.ones(2, 4)),
            ProfilingError,
            "input_shape or inputs, not both",
        ),
        (
            lambda c: c.count(MLP((4, 3)), inputs=tt.ones(2, 4), dtype="float64"),
            ProfilingError,
            "dtype is that",
        ),
        (lambda c: c.count(MLP((4, 3)), (2, 4), dtype="complex64"), DTypeError, "complex64"),
        (lambda c: c.count(nn.Linear(4, 3)), ProfilingError, "Linear has no example_input: give input_shape"),
        (lambda c: c.count(nn.Linear(4, 3).forward), ProfilingError, "Linear has no example_input"),
        (lambda c: c.count(3), ProfilingError, "int 3 cannot be called"),
        (lambda c: c.count(3, (2, 4)), ProfilingError, "int 3 cannot be called"),
        (lambda c: c.count(MLP((4, 3)), (2, -4)), ProfilingError, "is -4; expected a whole number"),
        (lambda c: c.count(MLP((4, 3)), "24"), ProfilingError, "'24' is not a shape"),
        (
            lambda c: c.count(functional.linear, (2, 4)),
            ProfilingError,
            r"'weight'. Pass inputs=\(\.\.\.\) with all",
        ),
        (lambda c: c.count(MLP((4, 3)), inputs=()), ProfilingError, "missing a required argument: 'x'"),
        (lambda c: c.count(MLP((4, 3)), inputs={"y": tt.ones(2, 4)}), ProfilingError, r"'x'|'y'"),
        (lambda c: c.count(MLP((4, 3)), inputs=(tt.ones(2, 4), 1)), ProfilingError, "too many positional"),
    ],
)
def test_bad_input(call: Callable[[FLOPCounter], object], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call(FLOPCounter())
