"""Draw block.svg (the two ways through a block) and temperature.svg (what temperature and top-k do)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from tinytorch.learn.drawing import save_svg
from tinytorch.models.gpt import likeliest
from tinytorch.tensor import Tensor

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent


def block() -> None:
    """The residual stream from left to right; attention and MLP read it through a norm and add to it."""
    figure, ax = plt.subplots(figsize=(8, 2.4))
    ax.annotate("", (10, 0), (0, 0), arrowprops={"arrowstyle": "->", "linewidth": 2})
    ax.text(0, 0.15, "x", fontsize=11)
    ax.text(10.05, -0.05, "x", fontsize=11)
    ax.text(3.9, -0.35, "residual stream: nothing but sums", color="0.4")
    for left, norm, part in ((0.8, "norm1", "attn"), (5.4, "norm2", "mlp")):
        ax.plot([left, left, left + 3.6], [0, 1.2, 1.2], color="0.3")
        ax.annotate(
            "", (left + 3.6, 0.12), (left + 3.6, 1.2), arrowprops={"arrowstyle": "->", "color": "0.3"}
        )
        for at, text in ((left + 0.7, norm), (left + 1.8, part), (left + 2.9, "drop")):
            box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "0.3"}
            ax.text(at, 1.2, text, ha="center", va="center", bbox=box)
        ax.plot(left + 3.6, 0, "o", markersize=14, color="white", markeredgecolor="0.3")
        ax.text(left + 3.6, 0, "+", ha="center", va="center")
    ax.set_xlim(-0.3, 10.5)
    ax.set_ylim(-0.6, 1.7)
    ax.axis("off")
    save_svg(figure, HERE / "block.svg")


def temperature() -> None:
    """One set of logits at three temperatures, and with all but the three likeliest taken out."""
    logits = np.array([2.0, 1.5, 1.2, 0.4, 0.0, -0.5, -1.0, -1.5])
    three = likeliest(Tensor(logits), 3).numpy()
    panels = [
        ("T = 0.5", logits / 0.5),
        ("T = 1", logits),
        ("T = 2", logits / 2),
        ("T = 1, top_k = 3", three),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.2), sharey=True)
    for ax, (title, scores) in zip(axes, panels, strict=True):
        parts = np.exp(scores - scores.max())
        ax.bar(range(len(logits)), parts / parts.sum())
        ax.set_title(title)
        ax.set_xlabel("token")
        ax.set_xticks(range(0, len(logits), 2))
    axes[0].set_ylabel("probability")
    save_svg(figure, HERE / "temperature.svg")


if __name__ == "__main__":
    block()
    temperature()
