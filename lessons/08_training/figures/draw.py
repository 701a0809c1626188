"""Draws the picture of this lesson: python draw.py writes overfit.svg beside itself, from a real run."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

import tinytorch as tt
from tinytorch.learn.drawing import save_svg
from tinytorch.nn import Linear, MSELoss, Sequential, Tanh
from tinytorch.optim import Adam
from tinytorch.training import Trainer

HERE = Path(__file__).resolve().parent
plt.rcParams.update({"svg.fonttype": "none", "font.size": 9})


def points(count: int, seed: int) -> tuple[tt.Tensor, tt.Tensor]:
    """Noisy points on a sine; shapes (count, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (count, 1))
    y = np.sin(x) + 0.4 * rng.standard_normal((count, 1))
    return tt.Tensor(x.astype(np.float32)), tt.Tensor(y.astype(np.float32))


def overfit() -> None:
    """Few points and a large network: the training loss falls on and on, the validation loss turns."""
    g = tt.manual_seed(0)
    model = Sequential(
        Linear(1, 64, generator=g), Tanh(), Linear(64, 64, generator=g), Tanh(), Linear(64, 1, generator=g)
    )
    trainer = Trainer(model, Adam(model.parameters(), lr=5e-3), MSELoss(), keep_best="loss")
    history = trainer.fit([points(24, 0)] * 5, epochs=120, validation=[points(400, 1)])
    best = history.best("loss", higher_is_better=False)
    figure, axes = plt.subplots(figsize=(6, 2.6))
    axes.plot(history.steps, history.losses, label="training", linewidth=1)
    axes.plot(
        [e["step"] for e in history.validation],
        [e["loss"] for e in history.validation],
        label="validation",
        linewidth=1,
    )
    axes.plot(best["step"], best["loss"], "o", color="#c0392b", label=f"best: step {best['step']}")
    axes.set(xlabel="step", ylabel="mean squared error", yscale="log")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_svg(figure, HERE / "overfit.svg")


if __name__ == "__main__":
    overfit()
