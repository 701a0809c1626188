"""Draw pass.svg (whose time a pass is) and amdahl.svg (what a faster part gives the whole)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from tinytorch.learn.drawing import save_svg
from tinytorch.profiling.statistics import Estimate, amdahl

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent


def watched_pass() -> None:
    """Two ops on the time line of a pass: Python, kernel, watcher, and what is filed under each op."""
    spans = [
        (0, 10, "Python", "0.85"),
        (10, 29, "kernel", "tab:blue"),
        (29, 30, "", "0.85"),
        (30, 36, "watcher", "tab:red"),
        (36, 50, "Python", "0.85"),
        (50, 62, "kernel", "tab:orange"),
        (62, 63, "", "0.85"),
        (63, 69, "watcher", "tab:red"),
        (69, 85, "Python", "0.85"),
    ]
    filed = [(0, 30, "attn.q_proj, linear", "tab:blue"), (36, 63, "attn, attention", "tab:orange")]
    figure, ax = plt.subplots(figsize=(9, 2.1))
    for begin, end, text, color in spans:
        ax.barh(1, end - begin, left=begin, color=color, edgecolor="white", alpha=0.7)
        ax.text((begin + end) / 2, 1, text, ha="center", va="center", fontsize=7)
    for begin, end, text, color in [*filed, (69, 85, "root", "0.6")]:
        ax.barh(0, end - begin, left=begin, color=color, edgecolor="white", alpha=0.35)
        ax.text((begin + end) / 2, 0, text, ha="center", va="center", fontsize=8)
    for at, text in (
        (0, "self.start"),
        (30, "seen"),
        (36, "done"),
        (63, "seen"),
        (69, "done"),
        (85, "self.end"),
    ):
        ax.text(at, 1.55, text, ha="center", fontsize=7)
        ax.plot([at, at], [-0.4, 1.5], color="0.4", linewidth=0.6, linestyle=":")
    ax.set_yticks([0, 1], ["filed under", "what ran"])
    ax.set_xticks([])
    ax.set_ylim(-0.5, 1.9)
    ax.spines[:].set_visible(False)
    save_svg(figure, HERE / "pass.svg")


def law() -> None:
    """The speed-up of the whole by that of a part, for several shares."""
    factors = np.geomspace(1, 100, 60)
    figure, ax = plt.subplots(figsize=(5, 3.2))
    for share in (0.16, 0.4, 0.8, 0.95):
        gains = [amdahl(Estimate(share, None, None), float(f)).value for f in factors]
        ax.loglog(factors, gains, label=f"{share:.0%} of the time")
        ax.axhline(1 / (1 - share), color="0.8", linewidth=0.7, linestyle=":")
    ax.set_xlabel("the part is so many times as fast")
    ax.set_ylabel("the whole is so many times as fast")
    ax.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    ax.minorticks_off()
    ax.legend()
    save_svg(figure, HERE / "amdahl.svg")


if __name__ == "__main__":
    watched_pass()
    law()
