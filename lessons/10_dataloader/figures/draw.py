"""Draws the pictures of this lesson: python draw.py writes prefetch.svg and crops.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from tinytorch.data import load, random_crop, random_flip
from tinytorch.learn.drawing import save_svg

HERE = Path(__file__).resolve().parent
LOAD, TRAIN, WAIT = "#f9c784", "#9cc5e8", "#eeeeee"
plt.rcParams.update({"svg.fonttype": "none", "font.size": 9})


def bar(axes: plt.Axes, start: float, length: float, row: float, colour: str, text: str) -> None:
    """One piece of work on a time line."""
    axes.broken_barh([(start, length)], (row, 0.8), facecolor=colour, edgecolor="#444444", linewidth=0.6)
    axes.text(start + length / 2, row + 0.4, text, ha="center", va="center", fontsize=8)


def times(batches: int, loading: float, training: float, depth: int) -> list[tuple[float, float, float]]:
    """When the thread starts on each batch, when it can put it into the queue, and when training takes it."""
    found: list[tuple[float, float, float]] = []
    for k in range(batches):
        start = found[-1][1] if found else 0.0
        room = found[k - depth][2] if k >= depth else 0.0  # the queue holds the `depth` batches before
        put = max(start + loading, room)
        found.append((start, put, max(put, found[-1][2] + training) if found else put))
    return found


def prefetch(batches: int = 6, loading: float = 2.0, training: float = 3.0, depth: int = 1) -> None:
    """The same batches one after the other, and with a thread that loads ahead."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 2.6), sharex=True)
    for k in range(batches):
        bar(above, k * (loading + training), loading, 0, LOAD, str(k))
        bar(above, k * (loading + training) + loading, training, 0, TRAIN, str(k))
    for k, (start, put, taken) in enumerate(times(batches, loading, training, depth)):
        bar(below, start, loading, 1, LOAD, str(k))
        if put > start + loading:
            bar(below, start + loading, put - start - loading, 1, WAIT, "")
        bar(below, taken, training, 0, TRAIN, str(k))
    above.set(yticks=[0.4], yticklabels=["one thread"], ylim=(-0.2, 1))
    above.set_xlim(0, batches * (loading + training))
    below.set(yticks=[0.4, 1.4], yticklabels=["training", "prefetch thread"], ylim=(-0.2, 2), xlabel="time")
    figure.legend(
        handles=[plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (LOAD, TRAIN, WAIT)],
        labels=["prepare a batch", "train on it", "wait for room in the queue"],
        loc="upper right",
        ncols=3,
        frameon=False,
    )
    save_svg(figure, HERE / "prefetch.svg")


def crops() -> None:
    """A digit as it is, and as seven draws of a shift and a flip give it."""
    images, _ = load("digits", "train").batch([2] * 8)
    rng = np.random.default_rng(3)
    (changed,) = random_flip(0.3)(random_crop(1)((images,), rng), rng)
    figure, row = plt.subplots(1, 8, figsize=(8, 1.3))
    for k, axes in enumerate(row):
        axes.imshow(images[0, 0] if k == 0 else changed[k, 0], cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_title("original" if k == 0 else f"draw {k}", fontsize=8)
    save_svg(figure, HERE / "crops.svg")


if __name__ == "__main__":
    prefetch()
    crops()
