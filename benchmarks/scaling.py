"""Time against batch, width and length, compiled, eager and PyTorch's: `python -m benchmarks.scaling`.

Prints the figures and draws docs/figures/compiled_scaling.svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import tinytorch as tt
from benchmarks.compiled.measure import contest, timed
from benchmarks.compiled.tables import span
from benchmarks.compiled.workloads import FORWARD, SGD, STEP, Workload, images, rows, tokens
from benchmarks.peers.arm import COMPILED, EAGER, OURS
from benchmarks.surroundings import surroundings
from tinytorch import console, models, nn
from tinytorch.learn.drawing import save_svg
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import fit_exponent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = Path("docs/figures/compiled_scaling.svg")
ROUNDS = 25
ARMS = (COMPILED, OURS, EAGER)
LABELS = {COMPILED: "compiled", OURS: "eager", EAGER: "PyTorch"}


@dataclass(frozen=True)
class Line:
    """A model as one of its sizes grows: a workload for each size."""

    what: str
    axis: str
    sizes: tuple[int, ...]
    work: Callable[[int], Workload]


def _forward(model: Callable[[], nn.Module], x: Callable[[nn.Module], Array]) -> Workload:
    return Workload("scaling", FORWARD, model, x, {}, peers=(EAGER, OURS))


def _gpt(width: int = 128, batch: int = 1, length: int = 64, optimizer: str | None = None) -> Workload:
    """A GPT of four layers with heads of 32."""
    group = STEP if optimizer else FORWARD
    return Workload(
        "scaling",
        group,
        lambda: models.GPT(width=width, heads=max(1, width // 32), context=max(128, length)),
        tokens(batch, length),
        {},
        optimizer=optimizer,
        peers=(EAGER, OURS),
    )


LINES = (
    Line("MLP", "batch", (1, 4, 16, 64, 256, 1024), lambda n: _forward(models.MLP, rows(n, 784))),
    Line("CNN", "batch", (1, 2, 4, 8, 16, 32, 64), lambda n: _forward(models.CNN, images(n))),
    Line("GPT, 64 tokens", "batch", (1, 2, 4, 8, 16), lambda n: _gpt(batch=n)),
    Line("GPT, 1 x 64", "width", (32, 64, 128, 256, 512), lambda n: _gpt(width=n)),
    Line("GPT, batch 1", "tokens", (16, 32, 64, 128, 256, 512), lambda n: _gpt(length=n)),
    Line(
        "GPT training step, 64 tokens",
        "batch",
        (1, 2, 4, 8, 16),
        lambda n: _gpt(batch=n, optimizer=SGD),
    ),
)


def measure(line: Line, rounds: int) -> dict[str, list[Array]]:
    """Seconds of a call of each arm: for each size, samples of interleaved rounds on one thread."""
    found: dict[str, list[Array]] = {name: [] for name in ARMS}
    for size in line.sizes:
        with contest(line.work(size), tt.compile) as arms:
            for name, samples in timed(arms, rounds)[0].items():
                found[name].append(samples)
    return found


def report(line: Line, found: dict[str, list[Array]]) -> None:
    """Print the times, and how fast they grow over the larger sizes."""
    medians = {name: [float(np.median(s)) for s in samples] for name, samples in found.items()}
    table = [
        [
            str(size),
            *(span(medians[name][i]) for name in ARMS),
            *(f"{medians[name][i] / medians[COMPILED][i]:.2f}" for name in (OURS, EAGER)),
        ]
        for i, size in enumerate(line.sizes)
    ]
    half = len(line.sizes) // 2 - 1
    exponents = ", ".join(
        f"{LABELS[name]} {fit_exponent(line.sizes[half:], medians[name][half:]).value:.2f}" for name in ARMS
    )
    console.table(
        f"{line.what}, by {line.axis}",
        [line.axis, *(LABELS[name] for name in ARMS), "eager / compiled", "PyTorch / compiled"],
        table,
        note=f"Exponent of the time from {line.sizes[half]} on: {exponents}.\n",
    )


def draw(results: Sequence[tuple[Line, dict[str, list[Array]]]], path: Path) -> None:
    """Write the picture: a panel for each line, both axes logarithmic, bands from the quartiles."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("svg")
    figure, axes = plt.subplots(2, -(-len(results) // 2), figsize=(11, 6.4), squeeze=False)
    for place, (line, found) in zip(axes.flat, results, strict=False):
        _panel(place, line, found)
    for place in list(axes.flat)[len(results) :]:
        place.set_axis_off()
    axes.flat[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_svg(figure, path)


def _panel(place: Axes, line: Line, found: dict[str, list[Array]]) -> None:
    for name, style in zip(ARMS, ("-o", ":s", "--^"), strict=True):
        quartiles = np.array([np.quantile(samples, (0.25, 0.5, 0.75)) for samples in found[name]]) * 1e3
        (drawn,) = place.plot(line.sizes, quartiles[:, 1], style, label=LABELS[name], markersize=3)
        place.fill_between(line.sizes, quartiles[:, 0], quartiles[:, 2], alpha=0.2, color=drawn.get_color())
    place.set(xscale="log", yscale="log", xlabel=line.axis, ylabel="ms")
    place.set_xticks(line.sizes, [str(size) for size in line.sizes])
    place.minorticks_off()
    place.set_title(line.what, fontsize=10)
    place.grid(alpha=0.3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description="Time against batch, width and length."
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"samples of each arm ({ROUNDS})")
    parser.add_argument("--out", type=Path, default=PICTURE, help=f"where the picture goes ({PICTURE})")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tt.set_num_threads(1)
    console.say(surroundings())
    results = []
    with console.progress(len(LINES), "scaling", "lines") as bar:
        for line in LINES:
            found = measure(line, asked.rounds)
            results.append((line, found))
            report(line, found)
            bar.update(len(results), last=line.what)
    draw(results, asked.out)
    console.say(f"Picture: {asked.out}")


if __name__ == "__main__":
    main()
