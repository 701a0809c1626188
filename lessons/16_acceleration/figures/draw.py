"""Draw walk.svg (how a product goes through a matrix) and plan.svg (the memory of a forward pass)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Rectangle

from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.memory import Life, plan_memory
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.passes.fuse import is_view
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.learn.drawing import save_svg
from tinytorch.models import GPT
from tinytorch.tensor import Tensor

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent
SIZE, TILE = 8, 4


def walk() -> None:
    """The first steps through b in three orders, over lines of the cache of four numbers each."""
    steps, first = range(SIZE), range(TILE)
    orders = {
        "i, j, k: down a column, a line a step": [(k, 0) for k in steps],
        "i, k, j: along the rows": [(k, j) for k in steps for j in steps][: 2 * SIZE],
        "tiles: over and over the same few lines": [(k, j) for k in first for j in first],
    }
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.9))
    for ax, (title, path) in zip(axes, orders.items(), strict=True):
        lines = {(row, column // TILE) for row, column in path}
        for row, part in ((r, p) for r in steps for p in range(SIZE // TILE)):
            color = "tab:orange" if (row, part) in lines else "0.93"
            ax.add_patch(Rectangle((part * TILE, row), TILE, 1, facecolor=color, edgecolor="white", lw=2))
        rows, columns = np.array(path).T
        ax.plot(columns + 0.5, rows + 0.5, color="tab:blue", marker="o", markersize=3, linewidth=1)
        ax.set_title(f"{title}\n{len(path)} numbers, {len(lines)} lines", fontsize=8)
        ax.set(xlim=(0, SIZE), ylim=(SIZE, 0), xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set_visible(False)
    save_svg(figure, HERE / "walk.svg")


def forward_pass() -> Graph:
    """The optimised graph of a small GPT's forward pass."""
    model = GPT(vocab_size=64, context=32, width=32, layers=2, heads=2).eval()
    with no_grad():
        return optimise(trace(model, [Tensor(np.zeros((1, 32), np.int64))]).graph)


def lives_of(graph: Graph) -> list[Life]:
    """What each value between inputs and results takes, and for how long; views count as what they show."""
    seen: dict[int, int] = {}
    lives: dict[int, Life] = {}
    for at, call in enumerate(graph.calls):
        for value in call.inputs:
            root = seen.get(value, value)
            if root in lives:
                lives[root] = lives[root]._replace(last=at)
        for value in call.made:
            if is_view(call):
                seen[value] = seen.get(call.inputs[0], call.inputs[0])
            else:
                lives[value] = Life(graph.specs[value].nbytes, at, at)
    results = {seen.get(v, v) for v in graph.results()}
    return [life for value, life in lives.items() if value not in results]


def plan() -> None:
    """The buffers of the pass as blocks: over time where they live, over bytes where they lie."""
    lives = lives_of(forward_pass())
    offsets, total = plan_memory(lives)
    apart = sum(life.nbytes for life in lives)
    figure, ax = plt.subplots(figsize=(9, 3))
    for number, (life, offset) in enumerate(zip(lives, offsets, strict=True)):
        corner, wide = (life.first, offset / 1024), life.last - life.first + 1
        color = plt.get_cmap("tab20")(number % 20)
        block = Rectangle(corner, wide, life.nbytes / 1024, facecolor=color, edgecolor="white", lw=0.8)
        ax.add_patch(block)
    ax.set(xlim=(0, 1 + max(life.last for life in lives)), ylim=(0, total / 1024 * 1.05))
    ax.set_xlabel("step of the program")
    ax.set_ylabel("KiB of the arena")
    ax.set_title(
        f"{len(lives)} buffers of {apart / 1024:.1f} KiB in an arena of {total / 1024:.1f} KiB", fontsize=9
    )
    save_svg(figure, HERE / "plan.svg")


if __name__ == "__main__":
    walk()
    plan()
