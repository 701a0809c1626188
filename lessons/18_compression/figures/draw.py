"""Draw masks.svg (what goes of a model), schedule.svg (when) and removal.svg (all that is a filter's)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from tinytorch.compression.masks import global_masks, threshold_of
from tinytorch.compression.schedule import cubic
from tinytorch.learn.drawing import save_svg
from tinytorch.models.pretrained import load_pretrained

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent
GONE, STAYS = "tab:orange", "tab:blue"


def masks() -> None:
    """Weights of the MLP with one threshold for 70 %, and what each layer loses to it."""
    layers = load_pretrained("mlp").layers
    weights = {f"layer {number}": layers[number].weight.numpy() for number in (0, 2, 4)}
    scores = {name: np.abs(w) for name, w in weights.items()}
    every = np.concatenate([w.ravel() for w in weights.values()])
    edge = threshold_of(np.abs(every), round(0.7 * every.size))
    found = global_masks(scores, 0.7)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), width_ratios=(2, 1))
    bins = np.linspace(-0.4, 0.4, 161)
    small = np.abs(every) <= edge
    left.hist([every[small], every[~small]], bins=bins, stacked=True, color=[GONE, STAYS])
    left.set_yticks([])
    left.set_title(f"70 % of the weights of the MLP lie within {edge:.3f} of 0", fontsize=9)
    shares = [1 - float(mask.mean()) for mask in found.values()]
    right.barh(list(found), shares, color=GONE)
    right.barh(list(found), [1 - share for share in shares], left=shares, color=STAYS)
    for place, share in enumerate(shares):
        right.text(0.02, place, f"{share:.0%} go", va="center", fontsize=8)
    right.invert_yaxis()
    right.set_xticks([])
    right.set_title("one threshold for all layers", fontsize=9)
    for ax in (left, right):
        ax.spines[["top", "left", "right"]].set_visible(False)
    save_svg(figure, HERE / "masks.svg")


def schedule() -> None:
    """Sparsity by step: at once, in a straight line, cubic."""
    steps = np.arange(1001)
    figure, ax = plt.subplots(figsize=(8, 2.6))
    ax.plot(steps, [0.9 if step else 0 for step in steps], color="0.6", label="at once")
    ax.plot(steps, 0.9 * np.minimum(steps / 600, 1), color=GONE, label="in a straight line")
    ax.plot(steps, [cubic(step, 0, 600, 0.0, 0.9) for step in steps], color=STAYS, label="cubic")
    ax.axvline(600, color="0.8", linestyle=":")
    ax.text(610, 0.1, "from here on the model heals", fontsize=8)
    ax.set_xlabel("steps of training")
    ax.set_ylabel("share of zeros")
    ax.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.25, 0.05))
    ax.spines[["top", "right"]].set_visible(False)
    save_svg(figure, HERE / "schedule.svg")


def box(ax: Any, x: float, y: float, shape: tuple[int, int], gone: Any, title: str) -> None:
    """A grid of cells with its lower left corner at x, y; gone(row, column) says which go."""
    rows, columns = shape
    for row in range(rows):
        for column in range(columns):
            color = GONE if gone(row, column) else "#dde6f2"
            place = (x + column, y + rows - 1 - row)
            ax.add_patch(mpl.patches.Rectangle(place, 0.9, 0.9, facecolor=color))
    ax.text(x + columns / 2, y + rows + 0.4, title, ha="center", fontsize=8)


def removal() -> None:
    """One filter of three, and where it is in all arrays around."""
    figure, ax = plt.subplots(figsize=(8, 2.4))
    box(ax, 0, 0, (3, 6), lambda row, column: row == 1, "conv.weight\na row for each filter")
    box(ax, 8, 0, (3, 1), lambda row, column: row == 1, "bias")
    names = ("weight", "bias", "mean", "var")
    for number, name in enumerate(names):
        box(ax, 11 + 2.5 * number, 0, (3, 1), lambda row, column: row == 1, name)
    ax.text(15.2, 4.7, "batch norm", ha="center", fontsize=8)
    box(
        ax,
        22,
        0,
        (3, 12),
        lambda row, column: 4 <= column < 8,
        "linear.weight after a flatten\n2 x 2 columns for each filter",
    )
    ax.set_xlim(-0.5, 34.5)
    ax.set_ylim(-0.5, 6.5)
    ax.set_aspect("equal")
    ax.axis("off")
    save_svg(figure, HERE / "removal.svg")


if __name__ == "__main__":
    masks()
    schedule()
    removal()
