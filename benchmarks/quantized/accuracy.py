"""What quantization loses on test data, after training and with training that knows of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

import tinytorch as tt
from benchmarks.quantized.trained import SET, model, splits
from tinytorch import data
from tinytorch.nn import Module, functional
from tinytorch.optim import AdamW, CosineWithWarmup
from tinytorch.quantization import aware, quantize
from tinytorch.quantization.convert import Rounding
from tinytorch.quantization.samples import Tested, tested

EPOCHS, LR = 1, {"mlp": 1e-4, "cnn": 2e-5}


@dataclass(frozen=True)
class Line:
    """A model in a scheme: what was found on test data, and the most that it may lose there."""

    name: str
    scheme: str
    how: str
    found: Tested
    must: float


def lines() -> list[Line]:
    """All of them, one model after the other."""
    found = []
    for name in ("mlp", "cnn", "gpt"):
        text = name == "gpt"
        found.append(_after(name, "int8", None, 0.005 if text else 0.003))
        found.append(_after(name, "int4-g128", "nearest", np.inf))
        for scheme in ("int4-g128", "mixed"):
            found.append(_after(name, scheme, "gptq", 0.03 if text else 0.01))
        if not text:
            found.append(_with(name, "int8", 0.004))
    return found


@functools.cache
def quantized(name: str, scheme: str, rounding: Rounding | None = None) -> Module:
    """A model on codes, all layers of it, whatever it loses."""
    given = splits(name)
    return quantize(
        model(name),
        given.calibration,
        scheme,
        validation=given.validation,
        prefer="size",
        max_loss=1e9,
        rounding=rounding,
    )


def _after(name: str, scheme: str, rounding: Rounding | None, must: float) -> Line:
    found = tested(model(name), quantized(name, scheme, rounding), splits(name).test)
    return Line(name, scheme, f"after training{f', {rounding}' if rounding else ''}", found, must)


def _with(name: str, scheme: str, must: float) -> Line:
    """Quantization-aware: trained on for an epoch with a falling rate, then taken as it is."""
    given = splits(name)
    network = aware(model(name), given.calibration, scheme)
    trained_on(network, LR[name])
    made = quantize(
        network, given.calibration, scheme, validation=given.validation, prefer="size", max_loss=1e9
    )
    return Line(name, scheme, "trained with it", tested(model(name), made, given.test), must)


def trained_on(network: Module, lr: float) -> None:
    """Train for EPOCHS on the training split, by a compiled step."""
    loader = data.DataLoader(data.load(SET, "train"), 128, shuffle=True, seed=2, drop_last=True)
    optimizer = AdamW(list(network.parameters()), lr=lr, weight_decay=0.01)
    schedule = CosineWithWarmup(optimizer, 20, EPOCHS * len(loader), 0.05)
    network.train()

    def step(x: tt.Tensor, labels: tt.Tensor) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(network(x), labels).backward()
        optimizer.step()

    fast = tt.compile(step)
    for _ in range(EPOCHS):
        for x, labels in loader:
            fast(x, labels)
            schedule.step()
    network.eval()
