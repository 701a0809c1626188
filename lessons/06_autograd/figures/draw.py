"""Draws the picture of this lesson: python draw.py writes graph.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from tinytorch.learn.drawing import save_svg

HERE = Path(__file__).resolve().parent


def box(axes: plt.Axes, x: float, y: float, text: str, colour: str) -> None:
    """A value or an op, centred."""
    style = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "#444444"}
    axes.text(x, y, text, ha="center", va="center", fontsize=11, bbox=style)


def arrow(
    axes: plt.Axes, start: tuple[float, float], end: tuple[float, float], text: str, bend: float
) -> None:
    """The gradient on its way back, dashed."""
    shape = {"arrowstyle": "->", "color": "#b03a2e", "linestyle": "--", "connectionstyle": f"arc3,rad={bend}"}
    axes.annotate("", xy=end, xytext=start, arrowprops=shape)
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    axes.text(*middle, text, ha="center", va="center", fontsize=9.5, color="#b03a2e", backgroundcolor="white")


def main() -> None:
    """y = x * w used twice, in z = y * y + y, with x = 2 and w = 3."""
    figure, axes = plt.subplots(figsize=(9, 3.4))
    axes.set(xlim=(-0.3, 10.2), ylim=(-0.3, 4.3))
    axes.axis("off")
    leaf, op = "#cfe2f3", "#f9e0c7"
    box(axes, 0.4, 3.2, "x = 2", leaf)
    box(axes, 0.4, 0.8, "w = 3", leaf)
    box(axes, 3.4, 2.0, "mul: y = 6", op)
    box(axes, 6.6, 3.2, "mul: y * y = 36", op)
    box(axes, 9.4, 2.0, "add: z = 42", op)
    arrow(axes, (8.9, 2.4), (7.2, 2.85), "1", 0)
    arrow(axes, (8.6, 1.85), (4.4, 1.85), "1", 0.15)
    arrow(axes, (5.7, 3.35), (3.5, 2.4), "6", 0.25)
    arrow(axes, (6.0, 2.85), (4.2, 2.25), "6", 0)
    arrow(axes, (2.5, 2.25), (0.85, 3.0), "13 * w = 39", 0)
    arrow(axes, (2.5, 1.75), (0.85, 1.0), "13 * x = 26", 0)
    axes.text(3.4, 1.0, "6 + 6 + 1 = 13 arrives", ha="center", fontsize=10, color="#b03a2e")
    save_svg(figure, HERE / "graph.svg")


if __name__ == "__main__":
    main()
