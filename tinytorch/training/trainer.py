"""Trainer: the loop over batches, with evaluation, checkpoints, and an account of what happened."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from tinytorch import console
from tinytorch.errors import DataError, GradientError, TrainingError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.optim import Optimizer, Schedule, clip_grad_norm
from tinytorch.random import Generator, default_generator
from tinytorch.tensor import Tensor
from tinytorch.training.checkpoint import (
    Parts,
    Progress,
    Resumable,
    load_checkpoint,
    place_of,
    save_checkpoint,
)
from tinytorch.training.diagnose import explain, finite
from tinytorch.training.files import tensors_of
from tinytorch.training.history import History
from tinytorch.training.interrupt import Interrupt
from tinytorch.training.metrics import Batch, Loss, Metric, count_of, evaluate
from tinytorch.training.step import Compile, compiled_forward_backward, forward_backward, update

_SHOW = 0.2  # seconds between two looks at a training batch's metrics


class Trainer:
    """Trains a model on batches: tuples of Tensors, the inputs of the model and then the target.

    Args:
        loss: called with the model's output and the target; a mean over samples.
        schedule: sets the learning rate for each step.
        metrics: shown while training, and measured in each evaluation.
        clip: largest norm of all gradients together.
        accumulate: batches a step; their gradients are weighted by their sizes, so that the step is that of
            one big batch. The last step of an epoch takes what is left.
        checkpoint: file that holds the state of the run, from before its first step on.
        checkpoint_every: steps between two writes of it, besides those after each epoch and at the end.
        evaluate_every: steps between two evaluations, besides those after each epoch and at the end.
        keep_best: "loss" or the name of a metric: `fit` ends with the weights of the best evaluation.
        generators: what the run draws random numbers from, besides `tinytorch.random.default_generator`.
        compile: makes programs of the step's functions, as `tinytorch.compile` does: one of forward and
            backward, one of the update. Between them the loss is looked at and gradients are clipped.
        description: stands beside the bar.

    >>> from tinytorch.nn import Linear, MSELoss
    >>> from tinytorch.optim import SGD
    >>> model = Linear(1, 1)
    >>> trainer = Trainer(model, SGD(model.parameters(), lr=0.1), MSELoss())
    >>> history = trainer.fit([(Tensor([[1.0], [2.0]]), Tensor([[3.0], [5.0]]))], epochs=100)
    >>> history.losses[-1] < 0.05
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss,
        schedule: Schedule | None = None,
        metrics: Sequence[Metric] = (),
        clip: float | None = None,
        accumulate: int = 1,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | None = None,
        evaluate_every: int | None = None,
        keep_best: str | None = None,
        generators: Mapping[str, Generator] | None = None,
        compile: Compile | None = None,
        description: str = "train",
    ) -> None:
        for name, every in (
            ("accumulate", accumulate),
            ("checkpoint_every", checkpoint_every),
            ("evaluate_every", evaluate_every),
        ):
            if every is not None and every < 1:
                raise ValueError(f"Trainer: {name} is {every}; it must be at least 1")
        better = {"loss": False} | {metric.name: metric.higher_is_better for metric in metrics}
        if keep_best is not None and keep_best not in better:
            raise ValueError(f"Trainer: keep_best is {keep_best!r}; choose from {', '.join(better)}")
        self.model, self.optimizer, self.loss, self.schedule = model, optimizer, loss, schedule
        self.metrics, self.clip, self.accumulate = tuple(metrics), clip, accumulate
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every, self.evaluate_every = checkpoint_every, evaluate_every
        self.keep_best, self.higher_is_better = keep_best, better.get(keep_best or "", False)
        self.parts = Parts(model, optimizer, schedule, {"default": default_generator, **(generators or {})})
        self._forward_backward = forward_backward if compile is None else compiled_forward_backward(compile)
        self._update = update if compile is None else compile(update)
        self.description = description
        self.progress = Progress()
        self._begun = 0.0
        self._looked = 0.0
        self._bar: console.Progress | None = None

    # ------------------------------------------------------------ the run

    def fit(
        self,
        loader: Iterable[Batch],
        epochs: int | None = None,
        steps: int | None = None,
        validation: Iterable[Batch] | None = None,
        resume: bool = False,
    ) -> History:
        """Train until `epochs` or `steps` are made in all, those before included, whichever comes first.

        `resume` takes the run up where its checkpoint stands: with the same settings, and a loader that is
        `Resumable` or gives the same batches each time, the weights are then those of a run that never
        stopped. Ctrl-C finishes the step, writes the checkpoint and returns with `history.interrupted`.
        Raises TrainingError for a loss that is not finite, CheckpointError, DataError.
        """
        if epochs is None and steps is None:
            raise ValueError("fit: say how long, by epochs or steps")
        if self.keep_best is not None and validation is None:
            raise ValueError("fit: keep_best needs a validation loader")
        if resume:
            if self.checkpoint is None:
                raise ValueError("fit: to resume, give the Trainer a checkpoint")
            self.progress = load_checkpoint(self.checkpoint, self.parts, loader)
            self.progress.history.interrupted = False
        else:
            self.progress.loader = place_of(loader)
            self._save()
        history = self.progress.history
        self._begun = time.perf_counter() - (history.seconds[-1] if history.seconds else 0.0)
        self.model.train()
        quiet = np.errstate(all="ignore")  # a run that diverges is reported by TrainingError
        with quiet, Interrupt() as interrupt, self._new_bar(loader, epochs, steps) as bar:
            self._bar = bar
            while not self._done(epochs, steps) and not interrupt.requested:
                self._epoch(loader, steps, validation, interrupt, bar)
        self._bar = None
        history.interrupted = interrupt.requested and not self._done(epochs, steps)
        if validation is not None and not history.interrupted:
            self._evaluate(validation)
        self._save()
        if self.progress.best_weights and not history.interrupted:
            self.model.load_state_dict(self.progress.best_weights)
        return history

    def _done(self, epochs: int | None, steps: int | None) -> bool:
        at = self.progress
        return (epochs is not None and at.epoch >= epochs) or (steps is not None and at.step >= steps)

    def _new_bar(self, loader: Iterable[Batch], epochs: int | None, steps: int | None) -> console.Progress:
        total = steps
        if epochs is not None and isinstance(loader, Sized):
            by_epochs = epochs * math.ceil(len(loader) / self.accumulate)
            total = by_epochs if steps is None else min(steps, by_epochs)
        return console.progress(total, self.description, "steps")

    def _epoch(
        self,
        loader: Iterable[Batch],
        steps: int | None,
        validation: Iterable[Batch] | None,
        interrupt: Interrupt,
        bar: console.Progress,
    ) -> None:
        """One epoch, or what is left of it; ends early when all steps are made or Ctrl-C came."""
        at = self.progress
        for batches in self._groups(loader):
            self._note(self.step(batches), bar)
            if validation is not None and self.evaluate_every and at.step % self.evaluate_every == 0:
                bar.update(at.step, **self._shown(self._evaluate(validation)))
            if self.checkpoint_every and at.step % self.checkpoint_every == 0:
                self._save()
            if interrupt.requested or (steps is not None and at.step >= steps):
                return
        at.epoch, at.batches = at.epoch + 1, 0
        at.loader = place_of(loader)
        if validation is not None:
            bar.update(at.step, **self._shown(self._evaluate(validation)))
        self._save()

    def _groups(self, loader: Iterable[Batch]) -> Iterator[list[Batch]]:
        """Batches of one step after another; `progress` says how far the loader is after each."""
        at = self.progress
        batches = iter(loader)
        if not isinstance(loader, Resumable):
            batches = islice(batches, at.batches, None)
        group: list[Batch] = []
        before = at.batches
        for batch in batches:
            group.append(batch)
            at.batches += 1
            at.loader = place_of(loader)
            if len(group) == self.accumulate:
                yield group
                group = []
        if group:
            yield group
        if at.batches == before == 0:
            raise DataError("fit: the loader has no batches")

    # ------------------------------------------------------------ one step

    def step(self, batches: list[Batch]) -> float:
        """Make one step of the optimizer with the gradients of all `batches` together; returns the mean loss.

        The step is that of one big batch: each batch counts by its share of the samples (`count_of(batch)`),
        in the gradients and in the loss. In this order: the schedule, if there is one, is set to
        `self.progress.step`; old gradients are forgotten; `self._backward(batch, share)` adds those of each
        batch and returns its loss; `self._clip()` where `self.clip` is given; the optimizer steps, by
        `self._update(self.optimizer)`, which may be a program. Raises DataError for what is no batch,
        TrainingError for a loss or gradients that are not finite.
        """
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        counts = [count_of(batch) for batch in batches]
        total = sum(counts)
        self.optimizer.zero_grad()
        mean = 0.0
        for batch, count in zip(batches, counts, strict=True):
            share = count / total
            mean += share * self._backward(batch, share)
        if self.clip is not None:
            self._clip()
        self._update(self.optimizer)
        return mean

    def _note(self, loss: float, bar: console.Progress) -> None:
        """Count a step that was made, and write it down."""
        at = self.progress
        at.step += 1
        now = time.perf_counter() - self._begun
        at.history.add(at.step, loss, self._rate(), now)
        bar.update(at.step, loss=loss)

    def _backward(self, batch: Batch, share: float) -> float:
        """Add the gradients of a batch, times its share of the step; returns its loss."""
        drawn = [generator.state.numpy() for generator in self.parts.generators.values()]
        output, value = self._forward_backward(self.model, self.loss, batch, share)
        if not math.isfinite(value):
            self._give_up(f"the loss is {value}; {self._explain(batch, drawn)}")
        if self.metrics and self._bar is not None:
            self._look(batch, output, value, self._bar)
        return value

    def _look(self, batch: Batch, output: Tensor, value: float, bar: console.Progress) -> None:
        """Show the metrics of this batch, now and then."""
        now = time.perf_counter()
        if now - self._looked > _SHOW:
            self._looked = now
            for metric in self.metrics:
                metric.reset()
                metric.update(output, batch[-1], value, count_of(batch))
            bar.update(bar.done, **{metric.name: metric.value() for metric in self.metrics})

    def _clip(self) -> None:
        """Clip the gradients by their norm together; raises TrainingError where it is not finite."""
        assert self.clip is not None
        try:
            clip_grad_norm(self.model.parameters(), self.clip)
        except GradientError as error:
            self._give_up(f"gradients are not finite: {self._bad_gradients()}", error)

    def _rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"].item())

    def _explain(self, batch: Batch, drawn: list[Array]) -> str:
        """Why the loss of a batch is not finite, found by running it again on the same random numbers."""
        for generator, state in zip(self.parts.generators.values(), drawn, strict=True):
            generator.state.assign_(Tensor(state))
        return explain(self.model, lambda: self.loss(self.model(*batch[:-1]), batch[-1]), batch)

    def _bad_gradients(self) -> str:
        bad = [n for n, p in self.model.named_parameters() if p.grad is not None and not finite(p.grad)]
        return ", ".join(bad[:5]) + (" ..." if len(bad) > 5 else "")

    def _give_up(self, why: str, cause: Exception | None = None) -> NoReturn:
        kept = "" if self.checkpoint is None else f" The last checkpoint is intact: {self.checkpoint}."
        raise TrainingError(
            f"step {self.progress.step + 1}, learning rate {self._rate():g}: {why}. "
            f"Lower the learning rate, or clip the gradients.{kept}"
        ) from cause

    # ------------------------------------------------------------ now and then

    def _evaluate(self, validation: Iterable[Batch]) -> dict[str, float]:
        """Evaluate, unless that was done after this step; keep the weights if they are the best."""
        at = self.progress
        entries = at.history.validation
        if entries and entries[-1]["step"] == at.step:
            return entries[-1]
        figures = evaluate(self.model, validation, self.loss, self.metrics)
        seconds = time.perf_counter() - self._begun
        entries.append({"step": at.step, "epoch": at.epoch, "seconds": seconds, **figures})
        if self.keep_best is not None:
            self.keep_if_best(figures[self.keep_best])
        return entries[-1]

    def keep_if_best(self, figure: float) -> bool:
        """Keep the figure of an evaluation and a copy of the weights if it is the best so far; whether it is.

        Larger is better where `self.higher_is_better`, else smaller; an equal figure is no better, and NaN
        never is. The first one is the best so far (`self.progress.best` is None until then). The figure goes
        to `self.progress.best`, and a copy of each of `tensors_of(self.model)`, arrays by name that share the
        model's memory, to `self.progress.best_weights`.
        """
        at = self.progress
        sign = 1 if self.higher_is_better else -1
        if math.isnan(figure) or (at.best is not None and sign * figure <= sign * at.best):
            return False
        at.best = figure
        at.best_weights = {name: np.array(a) for name, a in tensors_of(self.model).items()}
        return True

    def _shown(self, entry: dict[str, float]) -> dict[str, float]:
        """What the bar says of an evaluation."""
        names = ["loss", *(metric.name for metric in self.metrics)]
        return {f"validation {name}": entry[name] for name in names}

    def _save(self) -> None:
        if self.checkpoint is not None:
            save_checkpoint(self.checkpoint, self.parts, self.progress)
