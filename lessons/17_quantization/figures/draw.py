"""Draw grid.svg (weights, and the numbers that codes stand for) and channels.svg (one scale, or one each)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from tinytorch.learn.drawing import save_svg
from tinytorch.models.pretrained import load_pretrained
from tinytorch.quantization.grid import channel_scales, codes_of, largest_code, symmetric_scale

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent
LAYERS = load_pretrained("mlp").layers


def grid() -> None:
    """The weights of a layer, and where the 15 numbers lie that four bits have for them."""
    w = LAYERS[2].weight.numpy().ravel()
    figure, axes = plt.subplots(2, 1, figsize=(8, 3.8), sharex=True)
    for ax, share in zip(axes, (1.0, 0.5), strict=True):
        scale = float(symmetric_scale(share * np.abs(w).max(), bits=4))
        most = largest_code(4)
        lost = codes_of(w, np.float32(scale), bits=4) * scale - w
        ax.hist(w, bins=120, color="0.8")
        ax.set_yticks([])
        for code in range(-most, most + 1):
            ax.axvline(code * scale, color="tab:blue", linewidth=0.8)
            ax.text(code * scale, ax.get_ylim()[1] * 1.02, str(code), ha="center", fontsize=7)
        ax.spines[["top", "left", "right"]].set_visible(False)
        ends = "the largest weight has code 7" if share == 1 else "cut off at half of the largest"
        text = f"{ends}\nscale {scale:.3f}\nrms error {np.sqrt(np.mean(lost**2)):.3f}"
        ax.text(1.01, 0.5, text, transform=ax.transAxes, fontsize=8, va="center")
    axes[1].set_xlabel(
        "weights of the second layer of the MLP, and the numbers that the codes -7 .. 7 stand for"
    )
    save_svg(figure, HERE / "grid.svg")


def channels() -> None:
    """The largest weight of each output, beside the step that it gets."""
    w = LAYERS[0].weight.numpy()
    largest = np.sort(np.abs(w).max(1))
    one = float(symmetric_scale(largest.max()))
    own = np.sort(channel_scales(w))
    figure, ax = plt.subplots(figsize=(8, 3))
    ax.semilogy(largest, ".", color="0.3", markersize=4, label="largest weight of each output")
    ax.axhline(one, color="tab:orange", label="step of one scale for all")
    ax.semilogy(own, color="tab:blue", label="step of a scale for each")
    ax.set_xlabel("outputs of the first layer of the MLP, the smallest first")
    ax.set_title(
        f"one scale for all leaves the smallest output {largest[0] / one:.0f} steps to either side of 0",
        fontsize=9,
    )
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    save_svg(figure, HERE / "channels.svg")


if __name__ == "__main__":
    grid()
    channels()
