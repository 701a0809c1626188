"""What training a classifier and a language model have in common: the fit, its curves, weights that ship."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tinytorch import models
from tinytorch.errors import CheckpointError
from tinytorch.models.registry import Model
from tinytorch.profiling.report.chart import thinned
from tinytorch.training import History, Metric, Trainer
from tinytorch.training.metrics import Batch, Loss
from tinytorch.training.recipes import Recipe, optimizer_for, schedule_for


@dataclass(frozen=True)
class Curves:
    """What training measured on its way: losses (means of `steps_per_point` steps), and validations."""

    steps: tuple[float, ...]
    losses: tuple[float, ...]
    steps_per_point: int
    validation: tuple[dict[str, float], ...]
    seconds: float

    @classmethod
    def of(cls, history: History) -> Curves:
        """The curves of a history, thinned to what a chart can show."""
        steps, losses, each = thinned(history.losses)
        end = max(history.seconds[-1], history.validation[-1]["seconds"])
        return cls(tuple(steps), tuple(losses), each, tuple(history.validation), end)


@dataclass(frozen=True)
class Shipped:
    """How the weights that ship do on the same data; `reason` says why there is no figure."""

    test: float | None = None
    validation: float | None = None
    reason: str | None = None


def fit(
    description: str,
    model: Model,
    recipe: Recipe,
    loader: Iterable[Batch],
    steps: int,
    loss: Loss,
    metric: Metric,
    validation: Iterable[Batch],
    *,
    epochs: int | None = None,
    evaluate_every: int | None = None,
) -> History:
    """Train for so many steps and end with the weights that were best on validation.

    `epochs`: what the steps come to, where they are whole epochs; each is then validated. Raises
    KeyboardInterrupt for Ctrl-C, and what `Trainer.fit` raises.
    """
    optimizer = optimizer_for(model, recipe)
    trainer = Trainer(
        model,
        optimizer,
        loss,
        schedule=schedule_for(optimizer, recipe, steps),
        metrics=[metric],
        clip=recipe.clip,
        evaluate_every=evaluate_every,
        keep_best=metric.name,
        description=description,
    )
    history = trainer.fit(loader, epochs, steps if epochs is None else None, validation)
    if history.interrupted:
        raise KeyboardInterrupt
    return history


def shipped_model(name: str) -> tuple[Model | None, str | None]:
    """The model with the weights that ship, or None and why there is none."""
    try:
        return models.load_pretrained(name), None
    except CheckpointError as error:
        return None, str(error)
