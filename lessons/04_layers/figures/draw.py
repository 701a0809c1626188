"""Draws the picture of this lesson: python draw.py writes scale.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from tinytorch.learn.drawing import save_svg

HERE = Path(__file__).resolve().parent
DEPTH, WIDTH = 20, 256


def spread_by_depth(bound: float) -> list[float]:
    """The standard deviation of the activations after each of 20 linear layers without a nonlinearity."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, WIDTH))
    found = [x.std()]
    for _ in range(DEPTH):
        x = x @ rng.uniform(-bound, bound, size=(WIDTH, WIDTH)).T
        found.append(x.std())
    return found


def main() -> None:
    """Three bounds of the first weights: what becomes of the scale of a signal."""
    figure, axes = plt.subplots(figsize=(6.5, 3.2))
    root = WIDTH**-0.5
    for bound, label in (
        (1.0, "1"),
        (3**0.5 * root, "sqrt(3 / fan_in)"),
        (root, "1 / sqrt(fan_in)"),
        (0.01, "0.01"),
    ):
        axes.semilogy(spread_by_depth(bound), marker=".", label=f"bound {label}")
    axes.set(
        xlabel="layer", ylabel="standard deviation", title=f"A signal through linear layers of width {WIDTH}"
    )
    axes.legend(fontsize=9)
    axes.grid(alpha=0.3)
    save_svg(figure, HERE / "scale.svg")


if __name__ == "__main__":
    main()
