"""INT8, eight times smaller: by 70 % of zeros and entropy coding, beside the mix of four and eight bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from benchmarks.compressed.pruning import made as pruned_runs
from benchmarks.compressed.pruning import over_seeds
from benchmarks.compressed.trained import FOLDER, SEEDS, batches, model
from tinytorch import models
from tinytorch.compression.steps import program_bytes, weights_bytes
from tinytorch.nn import Module
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization import quantize
from tinytorch.quantization.samples import splits_for, tested

SET, LEVEL, RATIO, MUST = "fashion-full", 0.7, 8.0, 0.01
WAYS = ("int8", "mixed", "int8, 70 % zeros")


@dataclass(frozen=True)
class Line:
    """A model in one way: the least ratio over seeds, and the mean of what is lost on test data."""

    name: str
    way: str
    ratio: float
    lost: Estimate


def lines(names: tuple[str, ...] = ("mlp", "300-100", "cnn")) -> list[Line]:
    """All lines."""
    found = []
    for name in names:
        for way in WAYS:
            ratios, losses = zip(*(_measured(name, way, seed) for seed in SEEDS), strict=True)
            found.append(Line(name, way, min(ratios), over_seeds(losses)))
    return found


def _measured(name: str, way: str, seed: int) -> tuple[float, float]:
    base = model(name, SET, seed)
    x = base.example_input
    assert x is not None, "models of the registry have one"
    network: Module = base
    if "zeros" in way:
        pruned_runs(name, seed)
        network = models.load_weights(FOLDER / f"pruned-{name}-{LEVEL}-{seed}.safetensors")
    splits = splits_for(base, SET, seed)
    scheme = way.partition(",")[0]
    small = quantize(
        network, splits.calibration, scheme, prefer="size", max_loss=np.inf, scan=False, seed=seed
    )
    figures = tested(base, small, cast("Any", batches(SET, "test")))
    return weights_bytes(base) / program_bytes(small, x), figures.before - figures.after
