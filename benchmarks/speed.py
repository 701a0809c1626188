"""Training steps and call overhead beside PyTorch eager: one thread, same weights, batch and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import tinytorch as tt
from benchmarks.interleave import Ratio, compare, interleave
from tinytorch import models, optim
from tinytorch.nn import Module, functional
from tinytorch.profiling.pytorch.twin import twin_of

Step = Callable[[], Any]


@dataclass
class Row:
    """One line of the table: what was timed, the figure to reach and to aim at."""

    what: str
    ratio: Ratio
    must: float
    aim: float


def our_step(model: Module, optimizer: optim.Optimizer, x: tt.Tensor, y: tt.Tensor) -> Step:
    """One training step of ours: forward, backward, update."""

    def step() -> Any:
        logits = model(x)
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> Step:
    """One training step of PyTorch's."""

    def step() -> Any:
        logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def pair(name: str, optimizer: str = "sgd", **config: int) -> tuple[Step, Step]:
    """A step of ours and PyTorch's of the same model ("mlp", "cnn" or "gpt") on the same random batch."""
    rng = np.random.default_rng(0)
    if name == "gpt":
        ours: Module = models.GPT(**config)
        ids = rng.integers(0, 256, (8, 65))
        x, y = ids[:, :-1].copy(), ids[:, 1:].reshape(-1).copy()
    else:
        ours = models.MLP() if name == "mlp" else models.CNN()
        x, y = rng.random((32, 1, 28, 28), np.float32), rng.integers(0, 10, 32)
    theirs = twin_of(ours)
    tx = torch.tensor(x)
    if name == "cnn":  # PyTorch's convolutions are at their best in this layout
        theirs, tx = theirs.to(memory_format=torch.channels_last), tx.to(memory_format=torch.channels_last)
    if optimizer == "sgd":
        return (
            our_step(ours, optim.SGD(ours.parameters(), lr=0.01), tt.Tensor(x), tt.Tensor(y)),
            torch_step(theirs, torch.optim.SGD(theirs.parameters(), lr=0.01), tx, torch.tensor(y)),
        )
    return (
        our_step(ours, optim.AdamW(ours.parameters(), lr=1e-3), tt.Tensor(x), tt.Tensor(y)),
        torch_step(theirs, torch.optim.AdamW(theirs.parameters(), lr=1e-3), tx, torch.tensor(y)),
    )


def training_rows(rounds: int) -> list[Row]:
    """MLP b32, CNN b32 and GPT b8x64, each with SGD, which is held to a figure, and AdamW."""
    figures = {"mlp": ("MLP b32", 1.2, 1.6), "cnn": ("CNN b32", 0.6, 1.0), "gpt": ("GPT b8x64", 0.75, 1.0)}
    rows = []
    for name, (label, must, aim) in figures.items():
        inner = {"mlp": 20, "cnn": 2, "gpt": 1}[name]
        for optimizer in ("sgd", "adamw"):
            ratio = compare(*pair(name, optimizer), rounds, inner)
            gate = (must, aim) if optimizer == "sgd" else (0.0, aim)
            rows.append(Row(f"training step, {label}, {optimizer.upper()}", ratio, *gate))
    return rows


def overhead_row(rounds: int) -> Row:
    """a * b on 4x4 with gradients on."""
    x = np.random.default_rng(0).random((4, 4), np.float32)
    a, b = tt.Tensor(x, requires_grad=True), tt.Tensor(x, requires_grad=True)
    ta, tb = torch.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    return Row("a * b on 4x4, gradients on", compare(lambda: a * b, lambda: ta * tb, rounds, 3000), 1.0, 1.5)


def depth_line(rounds: int) -> tuple[dict[int, float], float]:
    """Median seconds of a GPT step with 1, 2, 4 and 8 layers, and r^2 of a straight line through them."""
    arms = {str(n): pair("gpt", layers=n)[0] for n in (1, 2, 4, 8)}
    seconds = {int(n): float(np.median(s)) for n, s in interleave(arms, rounds).items()}
    fit = np.corrcoef(list(seconds), list(seconds.values()))[0, 1] ** 2
    return seconds, float(fit)
