"""Half of all filters and neurons gone: what that loses on test data, and how much faster the model is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import tinytorch as tt
from benchmarks.compressed.pruning import over_seeds
from benchmarks.compressed.trained import FOLDER, SEEDS, batches, loader, model, recipe
from benchmarks.interleave import Ratio, calls_for, interleave, ratio_of
from tinytorch import models
from tinytorch.compression.distill import distill
from tinytorch.compression.structure import shrink
from tinytorch.models.registry import Model
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.samples import tested
from tinytorch.random import Generator

SET, AMOUNT = "fashion-full", 0.5
NAMES = ("mlp", "300-100", "cnn")
EPOCHS = {"mlp": 20, "300-100": 20, "cnn": 12}
BATCHES = (1, 32)
FASTER, MUST = 1.6, 0.01


@dataclass(frozen=True)
class Line:
    """A model: parameters before and after, the mean over seeds of what is lost, and speed by batch size."""

    name: str
    parameters: tuple[int, int]
    lost: Estimate
    after: float
    speed: dict[int, Ratio]


def lines(rounds: int, names: Sequence[str] = NAMES, seeds: Sequence[int] = SEEDS) -> list[Line]:
    """All lines; models that are kept in runs/compressed are not made again."""
    found = []
    for name in names:
        test = cast("Any", batches(SET, "test"))
        pairs = [(model(name, SET, seed), small(name, seed)) for seed in seeds]
        figures = [tested(*pair, test) for pair in pairs]
        lost = over_seeds([figure.before - figure.after for figure in figures])
        after = sum(figure.after for figure in figures) / len(figures)
        parameters = (pairs[0][0].num_parameters(), pairs[0][1].num_parameters())
        speed = {size: raced(*pairs[0], size, rounds) for size in BATCHES}
        found.append(Line(name, parameters, lost, after, speed))
    return found


def small(name: str, seed: int) -> Model:
    """The model without half of its channels, trained on by what the whole one says."""
    path = FOLDER / f"half-{name}-{seed}.safetensors"
    if not path.exists():
        base, how = model(name, SET, seed), recipe(name, SET)
        made = shrink(copy.deepcopy(base), None, AMOUNT, score="magnitude").model
        history = distill(
            made,
            base,
            loader(name, SET, 300 + seed),
            epochs=EPOCHS[name],
            validation=batches(SET, "validation"),
            recipe=how,
            compile=tt.compile,
            keep_best="accuracy",
            description=f"half of {name}, seed {seed}",
        )
        if history.interrupted:
            raise KeyboardInterrupt
        models.save_weights(cast("Model", made), path)
    return models.load_weights(path)


def raced(whole: Model, half: Model, size: int, rounds: int) -> Ratio:
    """The whole model's time over the half's, both compiled, in turns."""
    side = (1, 28, 28)
    x = Generator(0).rand(size, *(side if whole.example_input.ndim == 4 else (784,)))  # type: ignore[union-attr]
    with tt.no_grad():
        ways = {"half": tt.compile(half), "whole": tt.compile(whole)}
        arms = {name: (lambda way=way: way(x)) for name, way in ways.items()}
        for run in arms.values():
            for _ in range(3):
                run()
        times = interleave(arms, rounds, {n: calls_for(run) for n, run in arms.items()}, lead=True)
    return ratio_of(times["half"], times["whole"])
