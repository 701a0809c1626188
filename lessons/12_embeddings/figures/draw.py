"""Draw waves.svg: the sinusoidal table, and the dot products between its rows."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from tinytorch.learn.drawing import save_svg
from tinytorch.nn.embedding import sinusoidal

mpl.use("svg")
mpl.rcParams.update({"font.size": 9, "svg.image_inline": True})
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent


def main() -> None:
    """64 positions of width 32."""
    table = sinusoidal(64, 32).numpy()
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.1), width_ratios=(1, 1.5, 1))
    axes[0].imshow(table, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axes[0].set(title="sinusoidal(64, 32)", xlabel="column", ylabel="position")
    for column in (0, 6, 12):
        axes[1].plot(table[:, column], label=f"column {column}")
    axes[1].set(title="slower and slower waves", xlabel="position")
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False)
    axes[2].imshow(table @ table.T, cmap="Blues")
    axes[2].set(title="dot products of rows", xlabel="position", ylabel="position")
    figure.tight_layout()
    save_svg(figure, HERE / "waves.svg")


if __name__ == "__main__":
    main()
