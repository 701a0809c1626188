"""Draw turns.svg (drift and its cure), heart.svg (what small changes take away), records.svg (luck)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from tinytorch.benchmarking.events import baseline_model, event
from tinytorch.benchmarking.ranking import RECORD, allowance
from tinytorch.benchmarking.recipe import made, steps_of
from tinytorch.benchmarking.samples import Samples, plain, transformed
from tinytorch.learn.drawing import save_svg
from tinytorch.learn.experiment import predictions
from tinytorch.nn.module import Module
from tinytorch.tensor import Tensor, from_numpy

mpl.use("svg")
mpl.rcParams["font.size"] = 9
from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

HERE = Path(__file__).parent
FIRST, SECOND, GREY = "tab:blue", "tab:orange", "0.6"


def turns() -> None:
    """Two equal programs on a machine that slows down, and the ratios that three orders give."""
    order = {
        "A A ... B B ...": [0] * 20 + [1] * 20,
        "A B A B ...": [0, 1] * 20,
        "A B B A ...": [0, 1, 1, 0] * 10,
    }
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in order}
    for name, who in order.items():
        mask = np.array(who, bool)
        for _ in range(2000):
            times = (1 + 0.2 * np.arange(40) / 40) * np.exp(rng.normal(0, 0.02, 40))
            found[name].append(float(np.median(times[mask]) / np.median(times[~mask])))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.6), width_ratios=(1, 1.2))
    drift = 1 + 0.2 * np.arange(12) / 40
    colours = [FIRST if not w else SECOND for w in order["A B B A ..."][:12]]
    left.bar(np.arange(12), drift - 0.9, bottom=0.9, color=colours)
    for place, w in enumerate(order["A B B A ..."][:12]):
        left.text(place, 0.905, "AB"[w], ha="center", color="white")
    left.set_ylim(0.9, 1.08)
    left.set_xticks([])
    left.set_title("time of each turn, as the machine slows down", fontsize=9)
    bins = np.linspace(0.97, 1.15, 91)
    for (name, ratios), colour in zip(found.items(), (GREY, SECOND, FIRST), strict=True):
        right.hist(ratios, bins=bins, histtype="stepfilled", alpha=0.75, color=colour, label=name)
    right.axvline(1, color="0.2", linewidth=0.8)
    right.set_yticks([])
    right.set_title("B's time over A's, 2,000 times; both are equal", fontsize=9)
    right.legend(frameon=False, fontsize=8)
    for ax in (left, right):
        ax.spines[["top", "left", "right"]].set_visible(False)
    save_svg(figure, HERE / "turns.svg")


class Table(Module):
    """A table of answers: what has been seen is known by its distance, all else is not."""

    def __init__(self, seen: Samples) -> None:
        super().__init__()
        self.seen = from_numpy(seen.inputs.reshape(len(seen), -1))
        self.answers = from_numpy(np.eye(10, dtype=np.float32)[seen.labels])

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 1, 28, 28) to answers (n, 10)."""
        x = x.reshape(-1, 784)
        apart = (x * x).sum(1, keepdims=True) - 2 * x @ self.seen.T + (self.seen**2).sum(1)
        return (apart < 0.1).to("float32") @ self.answers


def heart() -> None:
    """Accuracy of a table of answers and of models, on images as they are and moved by a pixel."""
    sprint = event("mlp_sprint")
    as_is, changed = plain(sprint, 1000), transformed(sprint, 1000, seed=1)
    models = {
        "baseline": baseline_model(sprint),
        "in int8": made(sprint, steps_of([{"kind": "quantize", "scheme": "int8"}])),
        "table of answers": Table(as_is),
    }
    figure, ax = plt.subplots(figsize=(8, 1.9))
    for number, model in enumerate(models.values()):
        before, after = (float((predictions(model, s.inputs) == s.labels).mean()) for s in (as_is, changed))
        ax.plot([after, before], [number, number], color=GREY, linewidth=3, zorder=1)
        ax.scatter([before], [number], color=FIRST, zorder=2, label="" if number else "as it is")
        ax.scatter([after], [number], color=SECOND, zorder=2, label="" if number else "changed a little")
    ax.set_yticks(range(3), list(models))
    ax.invert_yaxis()
    ax.set_xlim(0, 1.03)
    ax.set_title("accuracy on 1,000 test images", fontsize=9, loc="left")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    ax.spines[["top", "left", "right"]].set_visible(False)
    save_svg(figure, HERE / "heart.svg")


def records() -> None:
    """How many teams with copies of the record have set one by their n-th attempt."""
    attempts = np.arange(1, 51)
    constant = 1 - (1 - RECORD / 2) ** attempts
    spent = np.array([allowance(int(n)) / 2 for n in attempts])
    kept = 1 - np.cumprod(1 - spent)
    figure, ax = plt.subplots(figsize=(8, 2.4))
    ax.plot(attempts, constant, color=SECOND, label="1 % for each attempt")
    ax.plot(attempts, kept, color=FIRST, label="1 % for all of them")
    ax.axhline(RECORD, color="0.6", linestyle=":")
    ax.set_yticks([0.01, 0.1, 0.2], ["1 %", "10 %", "20 %"])
    ax.set_xlabel("attempts of a team whose entry is a copy of the record")
    ax.set_title("teams that have set a record", fontsize=9, loc="left")
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    save_svg(figure, HERE / "records.svg")


if __name__ == "__main__":
    turns()
    heart()
    records()
