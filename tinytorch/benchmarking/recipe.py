"""Recipes of the closed division: steps of lessons 16 to 18, applied to the baseline by the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, cast

import msgspec

from tinytorch import console, models
from tinytorch.acceleration.compiled import compile as compiled
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking.events import Event, baseline_model, example, program_for
from tinytorch.compression import (
    Compressor,
    Masks,
    distill,
    drop_blocks,
    factorize,
    fine_tune,
    prune,
    settled,
    shared,
    shrink,
    sparsify,
)
from tinytorch.compression.distill import RECIPE
from tinytorch.compression.loaders import Material, material_for
from tinytorch.compression.masks import prunable
from tinytorch.errors import BenchmarkError, TinyTorchError
from tinytorch.models.registry import Model, name_of
from tinytorch.nn.module import Module
from tinytorch.quantization.quantize import quantize
from tinytorch.random import Generator

MOST_EPOCHS = 60
"""Of all steps of a recipe together; an epoch of text is 200 batches."""


class Distill(msgspec.Struct, frozen=True, tag="distill", tag_field="kind", forbid_unknown_fields=True):
    """A fresh model of the baseline's kind, with another `config`, learns from the model so far."""

    config: dict[str, Any]
    epochs: int = 20
    temperature: float = 4.0
    hard: float = 0.1
    lr: float = 2e-3
    seed: int = 0


class Shrink(msgspec.Struct, frozen=True, tag="shrink", tag_field="kind", forbid_unknown_fields=True):
    """Whole channels, neurons, heads or features of width go: see `tinytorch.compression.shrink`."""

    amount: float | dict[str, float]
    score: str = "magnitude"
    what: tuple[str, ...] = ("channels",)
    scope: Literal["global", "layer"] = "layer"
    round_to: int = 1


class DropBlocks(
    msgspec.Struct, frozen=True, tag="drop_blocks", tag_field="kind", forbid_unknown_fields=True
):
    """Whole blocks of a transformer go: see `tinytorch.compression.drop_blocks`."""

    count: int


class Prune(msgspec.Struct, frozen=True, tag="prune", tag_field="kind", forbid_unknown_fields=True):
    """Single weights become zero: see `tinytorch.compression.prune`."""

    sparsity: float | dict[str, float]
    scope: Literal["global", "layer"] = "global"
    score: str = "magnitude"


class Factorize(msgspec.Struct, frozen=True, tag="factorize", tag_field="kind", forbid_unknown_fields=True):
    """Two thin layers for one: see `tinytorch.compression.factorize`."""

    rank: int | dict[str, int] | None = None
    energy: float | None = None
    budget: float | None = None


class Share(msgspec.Struct, frozen=True, tag="share", tag_field="kind", forbid_unknown_fields=True):
    """Weights take few values, which are trained on for `epochs`: see `tinytorch.compression.shared`."""

    clusters: int | dict[str, int] = 16
    epochs: int = 0
    lr: float = 1e-3


class Train(msgspec.Struct, frozen=True, tag="train", tag_field="kind", forbid_unknown_fields=True):
    """Training goes on; weights that are zero stay so."""

    epochs: int = 3
    lr: float = 1e-3
    weight_decay: float = 0.0


class Compress(msgspec.Struct, frozen=True, tag="compress", tag_field="kind", forbid_unknown_fields=True):
    """The search of lesson 18 under a budget: see `tinytorch.compression.Compressor`."""

    target_ratio: float = 20.0
    max_loss: float = 0.005
    epochs: int = 10
    clusters: int = 16
    codes: bool = True


class Quantize(msgspec.Struct, frozen=True, tag="quantize", tag_field="kind", forbid_unknown_fields=True):
    """Weights, and inputs of layers, become codes: see `tinytorch.quantization.quantize`."""

    scheme: str = "int8"
    prefer: Literal["speed", "size"] = "speed"
    max_loss: float = 0.003


class Sparsify(msgspec.Struct, frozen=True, tag="sparsify", tag_field="kind", forbid_unknown_fields=True):
    """Sparse kernels where they are faster here: see `tinytorch.compression.sparsify`."""

    least_gain: float = 1.05


Step: TypeAlias = (
    Distill | Shrink | DropBlocks | Prune | Factorize | Share | Train | Compress | Quantize | Sparsify
)


def steps_of(given: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The steps in plain data; raises BenchmarkError for unknown kinds, parameters and too much training.

    >>> steps_of([{"kind": "quantize", "scheme": "int8"}])
    (Quantize(scheme='int8', prefer='speed', max_loss=0.003),)
    """
    found = []
    for number, one in enumerate(given):
        try:
            found.append(msgspec.convert(dict(one), Step))
        except msgspec.ValidationError as error:
            raise BenchmarkError(f"step {number + 1}: {error}; kinds are {', '.join(KINDS)}") from None
    epochs = sum(getattr(step, "epochs", 0) for step in found)
    if any(getattr(step, "epochs", 0) < 0 for step in found) or epochs > MOST_EPOCHS:
        raise BenchmarkError(f"{epochs} epochs in all; at most {MOST_EPOCHS}, and none below 0")
    return tuple(found)


def follow(event: Event, steps: Sequence[Step]) -> Graph:
    """The program that the steps make of the event's baseline, with its training and validation data alone.

    Raises BenchmarkError naming the step that cannot be done.
    """
    return program_for(event, made(event, steps))


def made(event: Event, steps: Sequence[Step]) -> Module:
    """The model that the steps make."""
    kitchen = Kitchen(event)
    for number, step in enumerate(steps):
        name = step.__struct_config__.tag
        console.notice(f"{event.name}: step {number + 1} of {len(steps)}, {name}")
        try:
            kitchen.model = kitchen.do(step)
        except (TinyTorchError, ValueError, TypeError) as error:
            raise BenchmarkError(f"step {number + 1} ({name}): {error}") from error
        kitchen.model.example_input = example(event)
    return kitchen.model


class Kitchen:
    """The model as the steps so far have left it, and the data that steps may use."""

    def __init__(self, event: Event) -> None:
        self.event = event
        base = baseline_model(event)
        self.base: Model = base
        self.model: Module = base
        self.material: Material = material_for(base, event.data)
        self.validation: Any = self.material.splits.validation

    def do(self, step: Step) -> Module:
        """The model after one more step."""
        way: Callable[[Kitchen, Any], Module] = WAYS[type(step)]
        return way(self, step)

    def distill(self, step: Distill) -> Module:
        """A student of the model so far."""
        config = {**self.base.config(), **step.config}
        student = models.build(name_of(self.base), **config, generator=Generator(step.seed))
        student.example_input = example(self.event)
        if self.event.kind == "text":
            raise BenchmarkError("text: distil classifiers; shrink the model, or drop blocks, and train on")
        distill(
            student,
            self.model,
            cast("Any", self.material.train),
            epochs=step.epochs,
            validation=self.validation,
            temperature=step.temperature,
            hard=step.hard,
            recipe=replace(RECIPE, lr=step.lr),
            compile=compiled,
            seed=step.seed,
            keep_best="accuracy",
        )
        return student

    def shrink(self, step: Shrink) -> Module:
        """The model without its least important channels."""
        batches = None if step.score == "magnitude" else self.material.splits.calibration
        loss = None if step.score == "magnitude" else self.material.loss
        return shrink(
            self.model,
            None,
            step.amount,
            score=step.score,
            what=step.what,
            scope=step.scope,
            batches=batches,
            loss=loss,
            round_to=step.round_to,
        ).model

    def drop_blocks(self, step: DropBlocks) -> Module:
        """The model without the blocks that it misses least."""
        return drop_blocks(self.model, step.count, self.validation).model

    def prune(self, step: Prune) -> Module:
        """The model with zeros."""
        calibration = None if step.score == "magnitude" else self.material.splits.calibration
        loss = None if step.score == "magnitude" else self.material.loss
        return prune(
            self.model, step.sparsity, scope=step.scope, score=step.score, calibration=calibration, loss=loss
        ).model

    def factorize(self, step: Factorize) -> Module:
        """The model with thin layers."""
        return factorize(
            self.model,
            rank=step.rank,
            energy=step.energy,
            budget=step.budget,
            calibration=self.material.splits.calibration,
        )[0]

    def share(self, step: Share) -> Module:
        """The model with few values."""
        few = shared(self.model, step.clusters)
        if step.epochs:
            self._train(few, step.epochs, step.lr, 0.0)
        return settled(few)

    def train(self, step: Train) -> Module:
        """The model, trained on."""
        self._train(self.model, step.epochs, step.lr, step.weight_decay)
        return self.model

    def _train(self, model: Module, epochs: int, lr: float, weight_decay: float) -> None:
        masks = Masks.of_zeros(model) if prunable(model) else Masks(model, {})
        fine_tune(
            model,
            cast("Any", self.material.train),
            masks,
            epochs=epochs,
            lr=lr,
            weight_decay=weight_decay,
            loss=self.material.loss,
            validation=self.validation,
            compile=compiled,
            description="train",
        )

    def compress(self, step: Compress) -> Module:
        """The model within a budget, or as near as the search came."""
        return (
            Compressor(
                self.model,
                cast("Any", self.material.train),
                self.validation,
                target_ratio=step.target_ratio,
                max_loss=step.max_loss,
                epochs=step.epochs,
                clusters=step.clusters,
                codes=step.codes,
                rounds=1,
            )
            .run()
            .model
        )

    def quantize(self, step: Quantize) -> Module:
        """The model on codes."""
        return quantize(
            self.model,
            self.material.splits.calibration,
            step.scheme,
            validation=self.validation,
            prefer=step.prefer,
            max_loss=step.max_loss,
        )

    def sparsify(self, step: Sparsify) -> Module:
        """The model with sparse kernels where they pay."""
        return sparsify(self.model, example(self.event), least_gain=step.least_gain)[0]


WAYS: Mapping[type, Callable[[Kitchen, Any], Module]] = {
    Distill: Kitchen.distill,
    Shrink: Kitchen.shrink,
    DropBlocks: Kitchen.drop_blocks,
    Prune: Kitchen.prune,
    Factorize: Kitchen.factorize,
    Share: Kitchen.share,
    Train: Kitchen.train,
    Compress: Kitchen.compress,
    Quantize: Kitchen.quantize,
    Sparsify: Kitchen.sparsify,
}
KINDS = tuple(str(msgspec.inspect.type_info(kind).tag) for kind in WAYS)  # type: ignore[attr-defined]
