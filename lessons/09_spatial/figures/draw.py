"""Draw windows.svg (which pixels windows see) and layers.svg (weights and work of a CNN, layer by layer)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from tinytorch.learn.drawing import save_svg
from tinytorch.models.cnn import CNN
from tinytorch.ops.window import count_windows
from tinytorch.profiling import FLOPCounter

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent


def windows() -> None:
    """An image of 5 x 5 in its padding, with the first and the last window of three geometries."""
    kinds = [
        ("stride 1, padding 1", (1, 1), (1, 1), (1, 1)),
        ("stride 2, padding 1", (2, 2), (1, 1), (1, 1)),
        ("dilation 2, padding 1", (1, 1), (1, 1), (2, 2)),
    ]
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
    for ax, (title, stride, padding, dilation) in zip(axes, kinds, strict=True):
        rows, columns = count_windows("draw", (5, 5), (3, 3), stride, padding, dilation)
        picture = np.zeros((7, 7))
        picture[1:6, 1:6] = 0.35
        ax.imshow(picture, cmap="Greys", vmin=0, vmax=1.6)
        last = (stride[0] * (rows - 1), stride[1] * (columns - 1))
        for (top, left), colour in (((0, 0), "tab:blue"), (last, "tab:orange")):
            ys, xs = np.mgrid[0:3, 0:3] * dilation[0]
            ax.scatter(left + xs, top + ys, s=60, color=colour)
        ax.set_title(f"{title}: {rows} x {columns} windows", fontsize=9)
        ax.set_xticks(np.arange(-0.5, 7), labels=[])
        ax.set_yticks(np.arange(-0.5, 7), labels=[])
        ax.grid(color="white")
        ax.tick_params(length=0)
    save_svg(figure, HERE / "windows.svg")


def layers() -> None:
    """Weights and FLOPs of each layer of the CNN, for one image of 28 x 28."""
    model = CNN()
    counts = FLOPCounter().count(model, (1, 1, 28, 28))
    names = ["conv1", "conv2", "fc1", "fc2"]
    weights = [sum(p.size for n, p in model.named_parameters() if n.startswith(name)) for name in names]
    work = [next(row.flops for row in counts.by_module if row.path == name) for name in names]
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.2))
    for ax, values, title in zip(axes, (weights, work), ("parameters", "FLOPs of one image"), strict=True):
        ax.barh(names[::-1], values[::-1], color="tab:blue")
        ax.set_title(title, fontsize=9)
        for i, value in enumerate(values[::-1]):
            ax.text(value, i, f" {value:,}", va="center", fontsize=8)
        ax.set_xlim(0, max(values) * 1.35)
        ax.set_xticks([])
    save_svg(figure, HERE / "layers.svg")


if __name__ == "__main__":
    windows()
    layers()
