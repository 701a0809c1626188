"""Draw masks.svg (who may see whom) and cost.svg (work of a layer by length of the sequence)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from tinytorch.learn.drawing import save_svg
from tinytorch.ops.attention import attention_weights, causal_mask
from tinytorch.profiling import FLOPCounter

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent


def masks() -> None:
    """The causal mask, the same with a cache, and the weights of one head."""
    rng = np.random.default_rng(6)  # rounded to two decimals, all its rows still add up to 1
    q, k = rng.normal(size=(1, 1, 6, 8)), rng.normal(size=(1, 1, 6, 8))
    panels = [
        (causal_mask(6, 6).astype(float), "causal_mask(6, 6)"),
        (causal_mask(2, 6).astype(float), "causal_mask(2, 6), four cached"),
        (attention_weights(q, k, 8**-0.5, causal=True)[0, 0], "weights: rows add up to 1"),
    ]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3))
    for ax, (values, title) in zip(axes, panels, strict=True):
        ax.imshow(values, cmap="Blues", vmin=0, vmax=2)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("key")
        ax.set_ylabel("query")
        ax.set_xticks(range(values.shape[1]))
        ax.set_yticks(range(values.shape[0]))
        for (i, j), value in np.ndenumerate(values):
            label = f"{value:.0f}" if value == 1 else f"{value:.2f}"
            ax.text(j, i, label if value else "", ha="center", va="center", fontsize=7)
    save_svg(figure, HERE / "masks.svg")


def cost() -> None:
    """FLOPs of the projections, and of scores and weighted sum, for a layer of width 128."""
    lengths = 2 ** np.arange(5, 13)
    parts = [FLOPCounter().count_attention(int(t), 128, num_heads=4).parts for t in lengths]
    figure, ax = plt.subplots(figsize=(5, 3.2))
    for name, marker in (("projections", "o"), ("scores and weighted sum", "s")):
        ax.loglog(lengths, [part[name] for part in parts], marker=marker, label=name)
    ax.axvline(2 * 128, color="0.6", linestyle=":")
    ax.text(2 * 128 * 1.1, 3e6, "t = 2 x width", color="0.4")
    ax.set_xlabel("length t of the sequence")
    ax.set_ylabel("FLOPs of one layer, width 128")
    ax.legend()
    save_svg(figure, HERE / "cost.svg")


if __name__ == "__main__":
    masks()
    cost()
