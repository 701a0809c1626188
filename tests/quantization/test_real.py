"""The shipped MLP on real images: what eight and four bits lose of it, and what they weigh in memory."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from tests.quantization.simulation import Array, run
from tinytorch.data import load
from tinytorch.models import load_pretrained
from tinytorch.profiling.memory.modules import Holdings, distinct
from tinytorch.profiling.memory.profiler import MemoryProfiler
from tinytorch.quantization import quantize
from tinytorch.quantization.model import QuantizedModel
from tinytorch.quantization.report import Sizes
from tinytorch.tensor import Tensor, from_numpy

Real = tuple[Any, list[tuple[Tensor, ...]], Tensor, Array]


@pytest.fixture(scope="module")
def real() -> Real:
    """The model, batches of training images, 2,000 images of the test, and their labels."""
    train, test = load("fashion", "train"), load("fashion", "test")
    batches = [
        tuple(map(from_numpy, map(np.asarray, train.batch(range(i, i + 100))))) for i in range(0, 400, 100)
    ]
    images, labels = (np.asarray(a) for a in test.batch(range(2000)))
    return load_pretrained("mlp"), batches, from_numpy(images), labels


@pytest.fixture(scope="module")
def eight(real: Real) -> QuantizedModel:
    return quantize(real[0], real[1], "int8", prefer="size")


def accuracy(model: Any, images: Tensor, labels: Array) -> float:
    return float((run(model, images).argmax(1) == labels).mean())


def test_eight_bits_lose_at_most_half_a_point(real: Real, eight: QuantizedModel) -> None:
    model, _, images, labels = real
    before, after = accuracy(model, images, labels), accuracy(eight, images, labels)
    assert before > 0.85
    assert after >= before - 0.005
    assert all(row.kept for row in eight.report().layers)
    assert [type(layer).__name__ for layer in eight.layers][::2] == ["QuantizedLinear"] * 3
    assert (run(eight, images) != run(model, images)).any()


def test_rounding_in_turn_loses_no_more_than_the_nearest(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(file=1, resident=1, read=None)
    module: Any = importlib.import_module("tinytorch.quantization.quantize")
    monkeypatch.setattr(module, "sizes_of", lambda layer, x: sizes)  # which takes seconds
    model, batches, images, _ = real
    wanted = run(model, images)
    lost = {}
    for rounding in ("gptq", "nearest"):
        q = quantize(
            model,
            batches,
            "int4-g128",
            validation=batches[:1],
            prefer="size",
            rounding=rounding,
            max_loss=1.0,
        )
        assert [layer.bits for layer in list(q.layers)[::2]] == [4, 4, 4]
        lost[rounding] = float(np.square(run(q, images) - wanted).mean())
    assert 0 < lost["gptq"] <= lost["nearest"]


def held(model: Any) -> int:
    """Bytes of parameters and buffers as the memory profile counts them, shared memory once."""
    holdings = Holdings(model, None)
    owned = [tensor._array for _, tensor in holdings.parameters()]
    owned += [tensor._array for tensor in holdings.buffers()]
    return sum(array.nbytes for array in distinct(owned).values())


def test_in_memory_eight_bits_are_nearly_a_quarter(real: Real, eight: QuantizedModel) -> None:
    model, _, images, _ = real
    before, after = (MemoryProfiler().profile(m, args=(images[:1],), repeats=1) for m in (model, eight))
    assert (before.parameters, after.parameters) == (4 * model.num_parameters(), 0)
    assert held(model) == before.parameters
    assert held(model) / held(eight) >= 3.9
    assert before.baseline - after.baseline == pytest.approx(held(model) - held(eight), abs=8192)
    report = eight.report()
    assert (report.before.resident, report.after.resident) == (held(model), held(eight))
    assert report.after.file < report.after.resident
