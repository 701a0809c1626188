"""Scores: how good a model is on validation data, and what quantizing it costs of that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.errors import QuantizationError
from tinytorch.nn.module import Module
from tinytorch.ops.softmax import cross_entropy
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.calibrate import Batch, filled, inputs_of
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating

Metric: TypeAlias = Callable[[Module], float]
"""A figure of a model, the higher the better."""
LEAST = 1e-3
"""Nats: of a loss below it shares say nothing, so that it counts as this."""


class Score:
    """What a model loses against the one that it was made of; chosen by what the batches hold.

    With classes as targets (integers, one a sample) `name` is "accuracy", and the cost is the difference of
    both accuracies. With a class a position (integers, (batch, t)) it is "loss", and the cost is the share by
    which the cross-entropy grows. Without targets it is "cosine": 1 - the mean cosine of results before and
    after. A `metric` of one's own costs the difference.
    """

    def __init__(self, model: Module, batches: Iterable[Batch], metric: Metric | None = None) -> None:
        self.batches = filled(batches, "validation")
        self.metric = metric
        self.name = "metric" if metric else _kind(self.batches[0])
        self._results = self._all(model) if self.name == "cosine" else []
        self.before = self.value(model)
        """Of the model itself."""

    def value(self, model: Module) -> float:
        """The figure of a model: accuracy, mean loss in nats, mean cosine, or the metric."""
        if self.metric is not None:
            return float(self.metric(model))
        if self.name == "cosine":
            pairs = zip(self._results, self._all(model), strict=True)
            return float(np.mean(np.concatenate([cosines(a, b) for a, b in pairs])))
        figure = hits if self.name == "accuracy" else losses
        found = [
            figure(out, batch[-1].data) for out, batch in zip(self._all(model), self._pairs(), strict=True)
        ]
        return float(np.mean(np.concatenate(found)))

    def cost(self, model: Module) -> float:
        """What is lost; below 0 if something was won."""
        return self.lost(self.value(model))

    def lost(self, now: float) -> float:
        """What a figure of `value` has lost against `before`."""
        if self.name == "loss":
            return (now - self.before) / max(self.before, LEAST)
        return self.before - now

    def _pairs(self) -> list[tuple[Tensor, ...]]:
        return [batch for batch in self.batches if isinstance(batch, tuple)]

    def _all(self, model: Module) -> list[Array]:
        with evaluating(model), no_grad():
            return [_only(model(*inputs_of(batch))) for batch in self.batches]


def _only(result: Any) -> Array:
    if not isinstance(result, Tensor):
        raise QuantizationError(
            f"validation: the model returns a {type(result).__name__}, not a Tensor; "
            "give a metric=, a function of the model"
        )
    return result.data


def _kind(batch: Any) -> str:
    if isinstance(batch, Tensor) or len(batch) < 2 or batch[-1].dtype.kind != "i" or not batch[-1].ndim:
        return "cosine"
    return "accuracy" if batch[-1].ndim == 1 else "loss"


def hits(logits: Array, labels: Array) -> Array:
    """1.0 for each sample whose label is the largest of its logits, else 0.0."""
    return np.asarray(logits.argmax(-1) == labels, np.float64)


def losses(logits: Array, labels: Array) -> Array:
    """Cross-entropy in nats, for each position."""
    rows = Tensor(logits.reshape(-1, logits.shape[-1]))
    found: Array = cross_entropy(rows, Tensor(labels.reshape(-1)), reduction="none").data
    return np.asarray(found, np.float64)


def cosines(a: Array, b: Array) -> Array:
    """The cosine of each row of a and b, along the last axis; 1 where both are zeros."""
    a, b = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    either = a.any(1) | b.any(1)
    found: Array = np.where(lengths > 0, (a * b).sum(1) / np.where(lengths > 0, lengths, 1), ~either)
    return found


def paired(before: Array, after: Array) -> Estimate:
    """The mean of before - after over the same samples, with its 95 % interval by their differences.

    So much smaller than the intervals of both: most samples are right, or wrong, both times.

    >>> found = paired(np.array([1.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0]))
    >>> found.value, round(found.high, 2)
    (0.25, 0.74)
    """
    differences = before.astype(np.float64) - after
    mean = float(differences.mean())
    half = 1.959964 * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return Estimate(mean, mean - half, mean + half)


def sqnr(wanted: Array, found: Array) -> float:
    """Signal over noise in dB: 10 log10 of the sum of wanted ** 2 over that of (wanted - found) ** 2.

    Infinite where nothing is lost.

    >>> sqnr(np.array([10.0]), np.array([9.0]))
    20.0
    """
    noise = float(np.square(wanted.astype(np.float64) - found).sum())
    signal = float(np.square(wanted.astype(np.float64)).sum())
    return float(10 * np.log10(signal / noise)) if noise and signal else (-np.inf if noise else np.inf)


def first(batches: Iterable[Batch], count: int) -> list[Batch]:
    """As many of the first batches as hold `count` samples, or all."""
    found: list[Batch] = []
    samples = 0
    for batch in batches:
        if samples >= count:
            break
        found.append(batch)
        samples += inputs_of(batch)[0].shape[0]
    return found
