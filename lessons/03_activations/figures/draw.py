"""Draws the pictures of this lesson: python draw.py writes curves.svg and softmax.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

import tinytorch as tt
from tinytorch.learn.drawing import save_svg
from tinytorch.ops.activation import gelu, silu
from tinytorch.ops.softmax import softmax

HERE = Path(__file__).resolve().parent
CURVES = (("relu", tt.relu), ("sigmoid", tt.sigmoid), ("tanh", tt.tanh), ("GELU", gelu), ("SiLU", silu))


def curves() -> None:
    """The five functions, and their slopes."""
    x = tt.from_numpy(np.linspace(-5, 5, 401))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True)
    for name, function in CURVES:
        values = function(x).data
        left.plot(x.data, values, label=name)
        right.plot(x.data, np.gradient(values, x.data), label=name)
    left.set(title="value", ylim=(-1.2, 3), xlabel="x")
    right.set(title="slope", ylim=(-0.3, 1.3), xlabel="x")
    left.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_svg(figure, HERE / "curves.svg")


def temperatures() -> None:
    """Softmax of the same five scores, divided by three temperatures."""
    scores = tt.Tensor([2.0, 1.0, 0.0, 3.0, -1.0])
    figure, axes = plt.subplots(figsize=(6, 2.8))
    for i, temperature in enumerate((0.5, 1.0, 4.0)):
        places = np.arange(5) + 0.27 * (i - 1)
        axes.bar(places, softmax(scores / temperature).data, 0.25, label=f"scores / {temperature:g}")
    axes.set(xticks=range(5), ylabel="probability")
    axes.set_xticklabels([f"{score:g}" for score in scores.tolist()])
    axes.set_xlabel("score")
    axes.legend(frameon=False, fontsize=9)
    save_svg(figure, HERE / "softmax.svg")


curves()
temperatures()
