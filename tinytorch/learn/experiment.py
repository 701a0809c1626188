"""What a milestone is run by: its seeds, its figures beside its goals, and the verdict.

A milestone states, as literals that can be read without running it, `LESSON` (the last lesson whose code it
runs on) and `GOALS` (figure: relation and target). It hands `run` a trial, which trains with one seed and
measures the figures with NumPy, so that no function under test grades itself, and a drawing of all trials.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from tinytorch import console
from tinytorch.autograd import no_grad
from tinytorch.errors import LearnError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor
from tinytorch.threads import set_num_threads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
Goals: TypeAlias = Mapping[str, tuple[str, float]]
Figures: TypeAlias = Mapping[str, float]

SEEDS = (0, 1, 2)
RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
}


def run(
    trial: Callable[[int], tuple[Figures, T]], draw: Callable[[Sequence[T]], Figure], goals: Goals
) -> None:
    """Run a milestone as a program and leave with 0 where every goal is reached, else with 1.

    `trial(seed)` returns the figures it measured and what is to be drawn; `draw(all of that)` shows it in the
    terminal and returns a picture for the file. It runs on one thread: models as small as these gain nothing
    from more, and sums are then taken in the same order on every machine.
    """
    options = _options()
    set_num_threads(1)
    figures: dict[str, list[float]] = {name: [] for name in goals}
    drawn: list[T] = []
    for seed in options.seeds:
        console.notice(f"seed {seed}")
        measured, to_draw = trial(seed)
        for name in goals:
            figures[name].append(float(measured[name]))
        drawn.append(to_draw)
    picture = draw(drawn)
    if options.picture is not None:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(options.picture, dpi=120)
        console.say(f"picture: {options.picture}")
    reached = show(figures, goals, options.seeds)
    if options.result is not None:
        report = {"seeds": options.seeds, "figures": figures}
        options.result.write_text(json.dumps(report), encoding="utf-8")
    sys.exit(0 if reached else 1)


def show(figures: Mapping[str, Sequence[float]], goals: Goals, seeds: Sequence[int]) -> bool:
    """Write the figures of each seed, their mean and the goal as a table; whether every goal is reached."""
    rows = []
    for name, (relation, target) in goals.items():
        mean = mean_of(figures[name])
        verdict = "reached" if reaches(figures[name], (relation, target)) else "missed"
        rows.append(
            [name, *(f"{x:.4f}" for x in figures[name]), f"{mean:.4f}", f"{relation} {target:g}", verdict]
        )
    console.say()
    console.table("Measured", ["figure", *(f"seed {s}" for s in seeds), "mean", "goal", ""], rows)
    return all(row[-1] == "reached" for row in rows)


def predictions(model: Module, images: Array) -> Array:
    """The class that a model finds likeliest for each image: images (count, ...), result (count,) integers.

    Its outputs are compared by NumPy, so that only the model itself is under test.
    """
    with no_grad():
        outputs: Array = model.eval()(Tensor(images)).numpy()
    found: Array = np.argmax(outputs, axis=1)
    return found


def bits_of(logits: Array, targets: Array) -> float:
    """Bits that the targets take by softmax(logits), in all; logits (..., classes), targets (...) integers.

    >>> bits_of(np.zeros((3, 4)), np.array([0, 1, 3]))
    6.0
    """
    scores = logits.astype(np.float64)
    scores = scores - scores.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
    return float((np.log(np.exp(scores).sum(axis=-1)) - chosen).sum() / np.log(2))


def bigram_bits(train: bytes, text: bytes) -> float:
    """Bits per byte of a text by a bigram: each byte from the one before it, by counts in `train` plus one.

    >>> bigram_bits(b"", b"abc")
    8.0
    """
    seen = np.frombuffer(train, np.uint8).astype(np.int64)
    counts = np.bincount(seen[:-1] * 256 + seen[1:], minlength=256 * 256).reshape(256, 256) + 1.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    scored = np.frombuffer(text, np.uint8)
    return float(-np.log2(shares[scored[:-1], scored[1:]]).mean())


def mean_of(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return math.fsum(values) / len(values) if values else math.nan


def reaches(values: Sequence[float], goal: tuple[str, float]) -> bool:
    """Whether the mean of the values reaches a goal; raises LearnError for a relation that is none.

    >>> reaches([1.0, 0.97], (">=", 0.98)), reaches([math.nan], ("<=", 1.0))
    (True, False)
    """
    relation, target = goal
    if relation not in RELATIONS:
        raise LearnError(f"goal {relation} {target}: the relation is one of {', '.join(RELATIONS)}")
    return RELATIONS[relation](mean_of(values), target)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A milestone of the course; `tito milestone` runs it on your code."
    )
    parser.add_argument("--seeds", type=_seeds, default=list(SEEDS), help="such as 0,1,2")
    parser.add_argument("--picture", type=Path, help="the PNG to write")
    parser.add_argument("--result", type=Path, help="the JSON file to write the figures to")
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]
