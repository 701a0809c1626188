"""Compressor: prune, fine-tune, share, put on codes and encode, until a budget of size and loss is met."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch import console
from tinytorch.acceleration.artifact.save import save_graph
from tinytorch.acceleration.compiled import compile as compiled
from tinytorch.autograd import no_grad
from tinytorch.compression.allot import allot
from tinytorch.compression.analyze import Analysis, analyze
from tinytorch.compression.distill import Distiller
from tinytorch.compression.finetune import fine_tune
from tinytorch.compression.masks import Masks, prunable
from tinytorch.compression.prune import sparsity_of
from tinytorch.compression.schedule import gradual
from tinytorch.compression.scores import chosen_layers
from tinytorch.compression.share import settled, shared
from tinytorch.compression.steps import Budget, Report, Step, best_of, program_of, step_of, weights_bytes
from tinytorch.errors import CompressionError
from tinytorch.nn.losses import CrossEntropyLoss
from tinytorch.nn.module import Module
from tinytorch.optim import AdamW, CosineWithWarmup
from tinytorch.quantization.calibrate import inputs_of
from tinytorch.quantization.quantize import quantize
from tinytorch.quantization.score import Metric, Score, first, losses
from tinytorch.quantization.speed import race
from tinytorch.tensor import Tensor
from tinytorch.training.language import next_token_loss
from tinytorch.training.metrics import Batch, evaluating
from tinytorch.training.metrics import Metric as Shown
from tinytorch.training.step import Compile
from tinytorch.training.trainer import Trainer

CURVE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Sparsities at which each layer is measured alone before the search."""
SEARCHED, CALIBRATION = 1000, 1000
"""Samples of validation data for these curves, and of training data for ranges of activations."""
HEAD, BESIDE = 300, 100
"""Bytes of a compact program without weights: in all, and for each layer; measured on an MLP and a CNN."""
STEP = 1.1
"""By which the next round aims beyond what the last one missed."""
FAR = 4.0
"""Times the loss allowed, beyond which a round was too ambitious; below it was too short."""


@dataclass(frozen=True)
class Compressed:
    """The result: a model, and the report of all steps."""

    model: Module
    report: Report

    @property
    def met(self) -> bool:
        """Whether the budget holds."""
        return self.report.met

    def save(self, path: str | Path) -> None:
        """Write it as a compact program, which `tinytorch.load_program` reads without the model's code."""
        x = self.model.example_input
        assert x is not None, "the compressor gave it one"
        save_graph(program_of(self.model, x), path, compact=True)

    def __repr__(self) -> str:
        return repr(self.report)


class Lesson(NamedTuple):
    """What a training takes: batches, loss, metrics, and the figure by which the best epoch is kept."""

    train: Iterable[Any]
    loss: Any
    metrics: tuple[Shown, ...]
    best: str


class Compressor:
    """Makes a model small within a budget: `Compressor(model, train, validation, target_ratio=20).run()`.

    Each layer is pruned alone and measured, and gets the sparsity at which bytes cost the same in all of
    them. The model is pruned to that while it trains (`gradual`), its weights become few numbers (`shared`),
    which train on, then int8 codes where the budget still holds with them. Where the file is still too large,
    a next round prunes further; where too much is lost, it starts again and trains longer; where far too much
    is lost, it prunes less, so that a budget that cannot be met ends near to what can.

    Args:
        train: loader of training batches with targets, which gives another order each time.
        validation: batches that all choices are made on; never test data.
        target_ratio: how many times smaller the file is to be than the float32 weights.
        max_loss: the most that may be lost of the score on validation data: 0.005 is 0.5 points of accuracy.
        epochs: over `train`, of the training under growing masks in a round; a third of it is for shared
            numbers.
        clusters: numbers that the weights of a layer may take, besides 0.
        teach: have the original model teach what it says of each input, besides the labels; for classifiers.
        codes: try int8 codes in the end: memory and kernels gain, and the file stays about as large.
        rounds: of the search, at most.
        metric: a figure of a model, the higher the better, in place of `Score`'s own.
        loss: of the model's output and the target, by default cross-entropy, of text at each position.
        compile: makes programs of the training step; None runs it op by op.

    Raises CompressionError for a budget that makes no sense, a model without layers to prune or without an
    `example_input`, and QuantizationError for validation data without samples.
    """

    def __init__(
        self,
        model: Module,
        train: Iterable[Batch],
        validation: Iterable[Batch],
        *,
        target_ratio: float = 20.0,
        max_loss: float = 0.005,
        epochs: int = 15,
        lr: float = 3e-3,
        weight_decay: float = 0.0,
        clusters: int = 16,
        teach: bool = True,
        codes: bool = True,
        rounds: int = 3,
        metric: Metric | None = None,
        loss: Any = None,
        compile: Compile | None = compiled,
        seed: int = 0,
    ) -> None:
        if not target_ratio > 1 or not max_loss >= 0:
            raise CompressionError(
                f"budget: target_ratio={target_ratio:g}, max_loss={max_loss:g}; "
                "expected more than 1 times smaller, and a loss of 0 or more"
            )
        if epochs < 1 or rounds < 1 or clusters < 1:
            raise CompressionError(
                f"compress: epochs={epochs}, rounds={rounds}, clusters={clusters}; at least one of each"
            )
        if model.example_input is None:
            raise CompressionError("compress: give the model an example_input, as the program is to take it")
        chosen_layers(model)
        self.model, self.train, self.validation = model, train, list(validation)
        self.budget = Budget(target_ratio, max_loss)
        self.epochs, self.lr, self.weight_decay, self.clusters = epochs, lr, weight_decay, clusters
        self.codes, self.rounds, self.compile, self.seed = codes, rounds, compile, seed
        self.score = Score(model, self.validation, metric)
        self.loss = loss or (next_token_loss if self.score.name == "loss" else CrossEntropyLoss())
        self.teach = teach and loss is None and self.score.name == "accuracy"
        self.x: Tensor = model.example_input
        self.whole = weights_bytes(model)
        self.steps: list[Step] = []
        self.models: list[Module] = []

    def run(self) -> Compressed:
        """Search, and give the best that was found: the smallest within the budget, if there is one."""
        self._note("float32", self.model, "as it was")
        analysis = self.analysis()
        most, failed = self.whole / self.budget.target_ratio - self._beside, 0.0
        current, epochs = copy.deepcopy(self.model), self.epochs
        for number in range(1, self.rounds + 1):
            current = self._pruned(current, analysis, most, epochs, number)
            final = self._encoded(current, number)
            if self.budget.holds(final, self.whole):
                break
            excess = self.whole / self.budget.target_ratio / final.file
            if final.cost <= self.budget.max_loss:  # too large only: go on from here, short of what failed
                most = max(most * excess / STEP, math.sqrt(most * failed))
                continue
            if final.cost > FAR * self.budget.max_loss:  # time does not mend that: half way to no zeros
                failed = max(most, final.file - self._beside, 1.0)
                most = math.sqrt(failed * max(self._unpruned, failed))
            else:  # more time, and no smaller than asked for
                most, epochs = most * min(max(excess / STEP, 1.0), 1.5), 2 * epochs
            current = copy.deepcopy(self.model)
        return self._result()

    @property
    def _beside(self) -> int:
        """Bytes of a file beside those of its weights: names, shapes and biases."""
        return HEAD + BESIDE * len(prunable(self.model))

    @property
    def _unpruned(self) -> float:
        """About how many bytes all weights take as codes of few numbers, none of them zero."""
        weights = sum(row.weights for row in sparsity_of(self.model))
        return weights * math.log2(self.clusters + 1) / 8

    def analysis(self) -> Analysis:
        """What pruning each layer alone costs in mean loss, on a part of the validation data."""
        some = first(self.validation, SEARCHED)
        if self.score.metric is not None or self.score.name == "cosine":
            return analyze(self.model, some, sparsities=CURVE, metric=self.score.metric)
        return analyze(self.model, some, sparsities=CURVE, metric=lambda model: -_mean_loss(model, some))

    # ------------------------------------------------------------ steps

    def _pruned(self, model: Module, analysis: Analysis, most: float, epochs: int, number: int) -> Module:
        """Pruned to so many bytes while it trains; what is zero already stays zero."""
        shares = allot(analysis.layers, most)
        if not shares:
            console.notice("prune: this budget is met without zeros")
            return model
        layers: dict[str, Any] = prunable(model)
        lesson = self._lesson
        masks = Masks(model, {path: layers[path].weight.data != 0 for path in shares})
        reached = masks.sparsity
        steps = epochs * len(self.train) if isinstance(self.train, Sized) else 1000 * epochs
        fine_tune(
            model,
            lesson.train,
            masks,
            epochs=epochs,
            lr=self.lr,
            weight_decay=self.weight_decay,
            loss=lesson.loss,
            schedule=gradual(max(steps // 2, 1), 1.0, first=min(reached, 0.9)),
            shares=shares,
            scope="layer",
            validation=self.validation,
            metrics=lesson.metrics,
            keep_best=lesson.best,
            compile=self.compile,
            description=f"prune, round {number}",
        )
        told = ", ".join(f"{path} {share:.1%}" for path, share in shares.items())
        self._note(f"pruned {number}", model, f"{epochs} epochs: {told}")
        return model

    def _encoded(self, pruned: Module, number: int) -> Step:
        """Few numbers for all weights, trained on; then codes, where they keep within the budget."""
        twin = shared(pruned, self.clusters)
        self._train_numbers(twin, number)
        plain = settled(twin)
        plain.eval()
        step = self._note(f"shared {number}", plain, f"{self.clusters} numbers a layer, and 0")
        if not self.codes:
            return step
        coded = quantize(
            plain,
            first(self.train, CALIBRATION),
            "int8-tensor",
            validation=self.validation,
            metric=self.score.metric,
            prefer="size",
            max_loss=np.inf,
            scan=False,
            seed=self.seed,
        )
        on_codes = self._note(f"codes {number}", coded, "int8, one scale a tensor", step.sparsity)
        return on_codes if self.budget.holds(on_codes, self.whole) else step

    def _train_numbers(self, twin: Module, number: int) -> None:
        """Train what shared weights stand for: a small rate, as each number moves many weights."""
        epochs, lesson = max(1, self.epochs // 3), self._lesson
        optimizer = AdamW(list(twin.parameters()), lr=self.lr / 10, weight_decay=0.0)
        steps = epochs * len(self.train) if isinstance(self.train, Sized) else 1000 * epochs
        trainer = Trainer(
            twin,
            optimizer,
            lesson.loss,
            CosineWithWarmup(optimizer, 0, steps, 0.01),
            metrics=lesson.metrics,
            keep_best=lesson.best,
            compile=self.compile,
            description=f"share, round {number}",
        )
        history = trainer.fit(lesson.train, epochs, validation=self.validation)
        if history.interrupted:
            raise KeyboardInterrupt

    @cached_property
    def _lesson(self) -> Lesson:
        """What to train on, with what the original says of each sample, where it teaches: asked once."""
        if not self.teach:
            return Lesson(self.train, self.loss, (), "loss")
        distiller = Distiller(self.model, self.model, compile=self.compile, seed=self.seed)
        return Lesson(distiller.taught(self.train), distiller.loss, (distiller.metric,), "accuracy")

    # ------------------------------------------------------------ the end

    def _note(self, name: str, model: Module, note: str, sparsity: float | None = None) -> Step:
        """Measure, and keep a copy; `sparsity` where weights are codes, in which none is counted."""
        figure = self.score.value(model)
        step = step_of(name, model, self.x, figure, self.score.lost(figure), note)
        if sparsity is not None:
            step = replace(step, sparsity=sparsity)
        self.steps.append(step)
        self.models.append(copy.deepcopy(model))
        console.notice(
            f"{name}: {self.score.name} {figure:.4f}, {self.whole / step.file:.1f}x smaller, "
            f"{step.sparsity:.1%} zeros"
        )
        return step

    def _result(self) -> Compressed:
        kept = best_of(self.steps, self.whole, self.budget)
        model = self.models[kept]
        model.example_input = self.x
        timed = race(self.model, model, self.x, seed=self.seed) if kept else None
        report = Report(tuple(self.steps), self.score.name, self.whole, self.budget, kept, timed)
        return Compressed(model, report)


def _mean_loss(model: Module, batches: list[Any]) -> float:
    """Mean cross-entropy in nats."""
    with evaluating(model), no_grad():
        found = [losses(model(*inputs_of(batch)).data, batch[-1].data) for batch in batches]
    return float(np.mean(np.concatenate(found)))
