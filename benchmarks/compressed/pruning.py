"""What pruning loses on test data: unstructured, fine-tuned under masks, at 70, 90 and 95 %."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student

import tinytorch as tt
from benchmarks.compressed.trained import FOLDER, SEEDS, batches, loader, model, recipe
from tinytorch import models
from tinytorch.compression.distill import Distiller
from tinytorch.compression.finetune import fine_tune
from tinytorch.compression.masks import Masks
from tinytorch.compression.schedule import gradual
from tinytorch.data import DataLoader
from tinytorch.models.registry import Model
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.samples import tested

SET = "fashion-full"
LEVELS = (0.7, 0.9, 0.95)
MUST, UPPER = {0.7: 0.002, 0.9: 0.005, 0.95: 0.01}, 0.005
"""Of the mean, and at 70 % of the upper end of the interval."""
NAMES = ("300-100", "mlp", "cnn", "lenet-5")
EPOCHS = {"300-100": 20, "mlp": 20, "cnn": 6, "lenet-5": 4}
LR = {0.7: 1e-3, 0.9: 3e-3, 0.95: 5e-3}
"""What few weights are left must move further: chosen on validation data, seed 0."""
TEMPERATURE, HARD = 2.0, 0.3
"""The model as it was teaches what is left of it, besides the labels."""


@dataclass(frozen=True)
class Run:
    """One model from one seed at one sparsity: accuracy on test data before and after, zeros."""

    name: str
    seed: int
    level: float
    sparsity: float
    before: float
    after: float


@dataclass(frozen=True)
class Line:
    """A model at a sparsity: the mean over seeds of what is lost, with its 95 % interval, and the limit."""

    name: str
    level: float
    before: float
    after: float
    lost: Estimate
    must: float


def lines(names: Sequence[str] = NAMES, seeds: Sequence[int] = SEEDS) -> list[Line]:
    """All lines; runs that are kept in runs/compressed are not made again."""
    found = []
    for name in names:
        runs = [run for seed in seeds for run in made(name, seed)]
        for level in LEVELS:
            some = [run for run in runs if run.level == level]
            lost = over_seeds([run.before - run.after for run in some])
            means = (
                float(np.mean([run.before for run in some])),
                float(np.mean([run.after for run in some])),
            )
            found.append(Line(name, level, *means, lost, MUST[level]))
    return found


def over_seeds(differences: Sequence[float]) -> Estimate:
    """The mean of paired differences, one a seed, with its 95 % interval by Student's t."""
    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return Estimate(mean, None, None)
    half = float(student.ppf(0.975, count - 1)) * float(np.std(differences, ddof=1)) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half)


def made(name: str, seed: int) -> list[Run]:
    """Runs of a model from one seed at all sparsities: from the kept file, or made now."""
    path = FOLDER / f"pruned-{name}-{seed}.json"
    if not path.exists():
        runs = list(_runs(name, seed))
        path.write_text(json.dumps([asdict(run) for run in runs], indent=1), encoding="utf-8")
    return [Run(**run) for run in json.loads(path.read_text(encoding="utf-8"))]


def _runs(name: str, seed: int) -> Iterator[Run]:
    """Each sparsity grows out of the one before; the epoch that is best on validation stays."""
    base = model(name, SET, seed)
    validation, test = batches(SET, "validation"), batches(SET, "test")
    pruned, reached = copy.deepcopy(base), 0.0
    masks = Masks.full(pruned)
    for number, level in enumerate(LEVELS):
        teaching = Distiller(pruned, base, temperature=TEMPERATURE, hard=HARD, compile=tt.compile)
        train = teaching.taught(loader(name, SET, 100 + 10 * seed + number))
        assert isinstance(train, DataLoader), "a loader stays one"
        steps = EPOCHS[name] * len(train)
        fine_tune(
            pruned,
            train,
            masks,
            epochs=EPOCHS[name],
            lr=LR[level],
            weight_decay=recipe(name, SET).weight_decay,
            schedule=gradual(steps // 2, level, first=reached),
            validation=validation,
            loss=teaching.loss,
            metrics=(teaching.metric,),
            keep_best="accuracy",
            compile=tt.compile,
            description=f"prune {name} to {level:.0%}, seed {seed}",
        )
        reached = level
        keep(pruned, f"{name}-{level}-{seed}")
        found = tested(base, pruned, test)
        yield Run(name, seed, level, masks.sparsity, found.before, found.after)


def keep(network: Model, name: str) -> None:
    """Keep the weights, for parts that begin with a pruned model."""
    models.save_weights(network, FOLDER / f"pruned-{name}.safetensors")
