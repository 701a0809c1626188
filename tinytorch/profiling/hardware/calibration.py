"""The model of this machine's speed, checked: predictions beside measurements of models it never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import tinytorch.ops
from tinytorch.errors import CheckpointError
from tinytorch.models import BERT, CNN, GPT, MLP
from tinytorch.models.registry import Model
from tinytorch.ops.context import grad_mode
from tinytorch.profiling.hardware import machine
from tinytorch.profiling.hardware.rates import KINDS, Rates, interleaved, kind_of, measure_rates
from tinytorch.profiling.hardware.workload import Workload, record
from tinytorch.profiling.statistics import CONFIDENCE, Estimate
from tinytorch.profiling.subject import subject_of
from tinytorch.random import Generator
from tinytorch.threads import get_num_threads


@dataclass(frozen=True)
class Check:
    """A model held out: its predicted and its measured seconds for one pass."""

    name: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """By how much the prediction is off, as a share of what was measured.

        >>> round(Check("mlp", 0.9e-3, 1e-3).error, 6)
        -0.1
        """
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Calibration:
    """Rates of this machine by class of op, and how predictions from them fared on models held out."""

    threads: int
    date: str
    rates: dict[str, Rates]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def median_error(self) -> float:
        """Median of the absolute errors on the models held out."""
        return float(np.median([abs(check.error) for check in self.checks]))

    def seconds(self, work: Workload) -> Estimate:
        """Predicted seconds of a pass, with an interval for one more model.

        The interval is that of Student's distribution for a further log-ratio of measured to predicted, given
        those of the models held out (taken to scatter around 0, so that a bias widens it).
        """
        value = predicted(self.rates, work)
        factor = math.exp(_reach([math.log(check.measured / check.predicted) for check in self.checks]))
        return Estimate(value, value / factor, value * factor)


def predicted(by_kind: Mapping[str, Rates], work: Workload) -> float:
    """Seconds of a pass: the sum over its ops at the rates of their classes.

    >>> from tinytorch.profiling.hardware.rates import Curve
    >>> from tinytorch.profiling.hardware.workload import Demand
    >>> ops = (Demand("add", 6e3, 72e3, 0), Demand("reshape", 0, 0, 0, calls=2))
    >>> simple = Rates(1e-6, bytes=Curve((1e3,), (1e9,)))
    >>> predicted({"simple": simple, "view": Rates(5e-7)}, Workload("w", ops))
    7.4e-05
    """
    whole = work.bytes
    return sum(by_kind[kind_of(op)].seconds(op, whole) for op in work.ops)


def _reach(ratios: Sequence[float]) -> float:
    """Half the width of the prediction interval of one more value, from values that scatter around 0."""
    from scipy.stats import t

    n = len(ratios)
    scatter = math.sqrt(sum(ratio**2 for ratio in ratios) / n)
    return float(t.ppf((1 + CONFIDENCE) / 2, n)) * scatter * math.sqrt(1 + 1 / n)


# ---------------------------------------------------------------- models held out


def held_out() -> dict[str, tuple[Model | BERT, tuple[int, ...]]]:
    """Models with the shape of an input; nothing in `rates.cases` was measured on them.

    >>> len(held_out()) >= 6
    True
    """
    rng = Generator(1)

    def mlp(*sizes: int) -> MLP:
        return MLP(sizes, generator=rng)

    def gpt(width: int, layers: int, heads: int) -> GPT:
        return GPT(width=width, layers=layers, heads=heads, generator=rng)

    bert = BERT(vocab_size=256, context=64, width=112, layers=2, heads=4, generator=rng)
    return {
        "mlp 96-80-48-10, batch 1": (mlp(96, 80, 48, 10), (1, 96)),
        "mlp 784-256-10, batch 16": (mlp(784, 256, 10), (16, 784)),
        "mlp 1000-400-400-20, batch 128": (mlp(1000, 400, 400, 20), (128, 1000)),
        "cnn 3x32x32, batch 1": (CNN(3, image_size=32, generator=rng), (1, 3, 32, 32)),
        "cnn 1x28x28, batch 8": (CNN(generator=rng), (8, 1, 28, 28)),
        "cnn 3x48x48, batch 16": (CNN(3, image_size=48, generator=rng), (16, 3, 48, 48)),
        "gpt width 160, 2 layers, 1 x 20": (gpt(160, 2, 5), (1, 20)),
        "gpt width 96, 3 layers, 1 x 64": (gpt(96, 3, 3), (1, 64)),
        "gpt width 128, 4 layers, 8 x 32": (gpt(128, 4, 4), (8, 32)),
        "gpt width 256, 2 layers, 2 x 128": (gpt(256, 2, 8), (2, 128)),
        "bert width 112, 2 layers, 1 x 48": (bert, (1, 48)),
    }


def validate(by_kind: Mapping[str, Rates]) -> tuple[Check, ...]:
    """Predict and measure the models held out: medians of passes in turns, without recording for backward."""
    works, runs, rng = [], [], Generator(2)
    for model, shape in held_out().values():
        model.eval()
        x = rng.randint(0, 256, shape) if isinstance(model, GPT | BERT) else rng.rand(*shape)
        called = subject_of(model, (x,))
        works.append(record(called))
        runs.append(called.call)
    with grad_mode(False):
        measured = interleaved(runs)
    return tuple(
        Check(name, predicted(by_kind, work), seconds)
        for name, work, seconds in zip(held_out(), works, measured, strict=True)
    )


# ---------------------------------------------------------------- measured once, then kept


def calibrate(refresh: bool = False) -> Calibration:
    """Rates of this machine with the threads now set, and their check on models held out; then kept.

    It takes some four seconds. Kept in the user's cache folder by processor, threads, versions and the code
    of ops and measuring; a file that is damaged is measured again.
    """
    ops, here = Path(tinytorch.ops.__file__).parent, Path(__file__).parent
    code = [*ops.glob("*.py"), *here.glob("*.py")]
    key = machine.key_of(get_num_threads(), code)
    figures = None if refresh else machine.read_kept("rates", key)
    found = None if figures is None else _sound(figures)
    if found is not None:
        return found
    by_kind = measure_rates()
    date = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    calibration = Calibration(get_num_threads(), date, by_kind, validate(by_kind))
    try:
        machine.keep("rates", key, asdict(calibration))
    except CheckpointError as error:
        return replace(calibration, notes=(f"measured, but not kept: {error}",))
    return calibration


def _sound(figures: dict[str, Any]) -> Calibration | None:
    """The calibration that a file holds; None where something is missing or cannot be."""
    import msgspec

    try:
        found = msgspec.convert(figures, Calibration)
    except msgspec.ValidationError:
        return None
    rates = list(found.rates.values())
    curves = [c for r in rates for c in (r.flops, r.bytes, r.intensity) if c is not None]
    numbers = [
        *(r.call for r in rates),
        *(x for c in curves for x in (*c.sizes, *c.rates)),
        *(x for check in found.checks for x in (check.predicted, check.measured)),
    ]
    matched = all(len(c.sizes) == len(c.rates) > 0 and list(c.sizes) == sorted(c.sizes) for c in curves)
    complete = set(found.rates) == set(KINDS) and len(found.checks) > 0
    return found if complete and matched and all(0 < x < math.inf for x in numbers) else None
