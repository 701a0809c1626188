"""Draws the pictures of this lesson: python draw.py writes paths.svg and schedules.svg beside itself."""

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

import tinytorch as tt
from tinytorch.learn.drawing import save_svg
from tinytorch.optim import SGD, Adam, CosineWithWarmup, Optimizer, StepLR

HERE = Path(__file__).resolve().parent
plt.rcParams.update({"svg.fonttype": "none", "font.size": 9})

WAYS: dict[str, Callable[[list[tt.Tensor]], Optimizer]] = {
    "SGD, lr 0.07": lambda p: SGD(p, lr=0.07),
    "momentum 0.8, lr 0.03": lambda p: SGD(p, lr=0.03, momentum=0.8),
    "Adam, lr 0.4": lambda p: Adam(p, lr=0.4),
}


def walk(make: Callable[[list[tt.Tensor]], Optimizer], steps: int = 30) -> np.ndarray:
    """The places that an optimizer visits in the valley (x^2 + 25 y^2) / 2; shape (steps + 1, 2)."""
    w = tt.Tensor([-4.0, 1.0], requires_grad=True)
    optimizer = make([w])
    places = [w.numpy()]
    for _ in range(steps):
        loss = (w * w * tt.Tensor([0.5, 12.5])).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        places.append(w.numpy())
    return np.array(places)


def paths() -> None:
    """Three optimizers in one valley."""
    x, y = np.meshgrid(np.linspace(-4.6, 1.6, 120), np.linspace(-1.4, 1.4, 80))
    figure, row = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True)
    for axes, (title, make) in zip(row, WAYS.items(), strict=True):
        axes.contour(x, y, x**2 / 2 + 12.5 * y**2, levels=[0.1, 0.5, 1.5, 3.5, 7, 12], colors="#bbbbbb")
        places = walk(make)
        axes.plot(places[:, 0], places[:, 1], "o-", markersize=2.5, linewidth=1, color="#1f5fa8")
        axes.plot(0, 0, "x", color="#c0392b")
        axes.set_title(title)
    figure.tight_layout()
    save_svg(figure, HERE / "paths.svg")


def schedules() -> None:
    """The factors of both schedules."""

    def one() -> Optimizer:
        return SGD([tt.Tensor([1.0], requires_grad=True)], lr=1.0)

    steps = range(110)
    stair, cosine = StepLR(one(), 30, 0.5), CosineWithWarmup(one(), warmup=10, total=100, min_ratio=0.1)
    figure, axes = plt.subplots(figsize=(6, 2.4))
    axes.step(steps, [stair.factor(s) for s in steps], where="post", label="StepLR(step_size=30, gamma=0.5)")
    axes.plot(
        steps,
        [cosine.factor(s) for s in steps],
        label="CosineWithWarmup(warmup=10, total=100, min_ratio=0.1)",
    )
    axes.set(xlabel="steps made", ylabel="factor", ylim=(0, 1.5))
    axes.legend(loc="upper right", fontsize=8)
    save_svg(figure, HERE / "schedules.svg")


if __name__ == "__main__":
    paths()
    schedules()
