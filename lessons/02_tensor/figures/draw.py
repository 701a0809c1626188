"""Draws the pictures of this lesson: python draw.py writes strides.svg and broadcast.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from tinytorch.learn.drawing import save_svg

HERE = Path(__file__).resolve().parent
COLOURS = ("#cfe2f3", "#f9e0c7")


def cells(
    axes: plt.Axes, rows: list[list[str]], left: float, top: float, colour=lambda i, j: COLOURS[0]
) -> None:
    """A grid of squares with text in them, its upper left corner at (left, top)."""
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            corner = (left + j, top - i - 1)
            axes.add_patch(plt.Rectangle(corner, 1, 1, facecolor=colour(i, j), edgecolor="#444444"))
            axes.text(corner[0] + 0.5, corner[1] + 0.5, text, ha="center", va="center", fontsize=11)


def canvas(width: float, height: float) -> tuple[plt.Figure, plt.Axes]:
    """An empty picture in which a unit is a square of the grid."""
    figure, axes = plt.subplots(figsize=(width * 0.5, height * 0.5))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return figure, axes


def strides() -> None:
    """One row of memory, seen as a matrix and as its transpose."""
    figure, axes = canvas(13, 7.5)
    by_row = [["0", "1", "2"], ["3", "4", "5"]]
    cells(axes, [["0", "1", "2", "3", "4", "5"]], 3.5, 7, lambda i, j: COLOURS[j // 3])
    axes.text(6.5, 5.55, "memory: six float32, 4 bytes each", ha="center", fontsize=10)
    cells(axes, by_row, 1, 4, lambda i, j: COLOURS[i])
    axes.text(2.5, 1.4, "x: shape (2, 3)\nstrides (12, 4)", ha="center", va="top", fontsize=10)
    cells(axes, [list(column) for column in zip(*by_row, strict=True)], 9, 4.5, lambda i, j: COLOURS[j])
    axes.text(10, 1.2, "x.T: shape (3, 2)\nstrides (4, 12)", ha="center", va="top", fontsize=10)
    save_svg(figure, HERE / "strides.svg")


def broadcast() -> None:
    """A column and a row stretched over each other."""
    figure, axes = canvas(17, 5)
    cells(axes, [["10"], ["20"], ["30"]], 0.5, 4)
    axes.text(2.25, 2.5, "+", ha="center", va="center", fontsize=16)
    cells(axes, [["0", "1", "2", "3"]], 3, 3, lambda i, j: COLOURS[1])
    axes.text(8, 2.5, "=", ha="center", va="center", fontsize=16)
    cells(axes, [[str(10 * i + j) for j in range(4)] for i in (1, 2, 3)], 9, 4, lambda i, j: "#e3efd9")
    for x, text in ((1, "(3, 1)"), (5, "(4,)"), (11, "(3, 4)")):
        axes.text(x, 0.5, text, ha="center", va="center", fontsize=10)
    save_svg(figure, HERE / "broadcast.svg")


strides()
broadcast()
