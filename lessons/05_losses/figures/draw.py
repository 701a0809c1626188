"""Draws the picture of this lesson: python draw.py writes stable.svg beside itself."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from tinytorch.learn.drawing import save_svg

HERE = Path(__file__).resolve().parent


def main() -> None:
    """-log sigmoid(x) in float32, by the definition and by the stable formula."""
    x = np.linspace(-120, 20, 1000, dtype=np.float32)
    with np.errstate(all="ignore"):
        defined = -np.log(1 / (1 + np.exp(-x)))
    stable = np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x)))
    figure, axes = plt.subplots(figsize=(6.5, 3))
    axes.plot(x, stable, label="max(-x, 0) + log(1 + e^-|x|)", linewidth=5, color="#9fc5e8")
    axes.plot(x, defined, label="-log(1 / (1 + e^-x))", color="#b03a2e")
    axes.annotate(
        "infinite from here on", (-88.7, 88.7), (-70, 105), arrowprops={"arrowstyle": "->"}, fontsize=9
    )
    axes.set(xlabel="logit x, the target is yes", ylabel="loss", title="One loss by two formulas, in float32")
    axes.legend(fontsize=9)
    axes.grid(alpha=0.3)
    save_svg(figure, HERE / "stable.svg")


if __name__ == "__main__":
    main()
