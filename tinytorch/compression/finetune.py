"""fine_tune: training on under masks that stay, or that grow sparser by a schedule on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np

from tinytorch.compression.masks import Masks
from tinytorch.compression.prune import Scope, masks_for
from tinytorch.compression.schedule import Schedule
from tinytorch.compression.scores import Loss, magnitude, movement
from tinytorch.errors import CompressionError
from tinytorch.nn.losses import CrossEntropyLoss
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.optim import AdamW, CosineWithWarmup, Optimizer
from tinytorch.training.history import History
from tinytorch.training.metrics import Batch, Metric
from tinytorch.training.step import Compile
from tinytorch.training.trainer import Trainer

EVERY, CUTS = 50, 20
"""Steps between two cuts of a schedule, or fewer where training is too short for so many cuts."""


class PruningTrainer(Trainer):
    """A Trainer under whose steps masks hold, and grow as a schedule says.

    `masks`: of the model's layers; they only grow. `schedule_of_sparsity`: the sparsity after so many steps;
    every `every` steps, and as soon as it comes to its end, the lowest scores go, by magnitude or by movement
    summed since the start, over all layers or within each; without one, the masks stay as they are. `shares`:
    final sparsity by layer, in the place of one for all; the schedule then counts from 0 to 1. Best weights
    are kept only from evaluations after the last cut. Further arguments are those of `Trainer`.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss,
        *,
        masks: Masks,
        schedule_of_sparsity: Schedule | None = None,
        scope: Scope = "global",
        score: str = "magnitude",
        shares: Mapping[str, float] | None = None,
        every: int = EVERY,
        compile: Compile | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, loss, compile=compile, **options)
        if score not in ("magnitude", "movement"):
            raise CompressionError(f"fine_tune: score={score!r}; expected 'magnitude' or 'movement'")
        self.masks, self.schedule_of_sparsity = masks, schedule_of_sparsity
        self.scope, self.score, self.shares, self.every = scope, score, shares, every
        self._apply = masks.apply if compile is None else compile(masks.apply)
        self._modules: dict[str, Any] = dict(self.model.named_modules())
        self._moved: dict[str, Array] = {}
        self._reached = 0.0

    def fit(
        self,
        loader: Iterable[Batch],
        epochs: int | None = None,
        steps: int | None = None,
        validation: Iterable[Batch] | None = None,
        resume: bool = False,
    ) -> History:
        """As `Trainer.fit`; the last cut is made at the end where training was too short for it.

        Raises CompressionError for `resume`: a checkpoint does not hold the masks.
        """
        if resume:
            raise CompressionError("training under masks cannot be resumed: a checkpoint does not hold them")
        history = super().fit(loader, epochs, steps, validation)
        if not history.interrupted and self._reached < self._final:
            self._cut(self._final)
        return history

    def step(self, batches: list[Batch]) -> float:
        """A step of training, before it a cut if one is due; after it every masked weight is zero again."""
        at, schedule = self.progress.step, self.schedule_of_sparsity
        if schedule is not None:
            wanted = schedule(at)
            known = self.score != "movement" or bool(self._moved)
            if known and wanted > self._reached and (at % self.every == 0 or wanted >= self._final):
                self._cut(wanted)
        loss = super().step(batches)
        if self.score == "movement":
            self._note_movement()
        if self.masks:
            self._apply()
        return loss

    @property
    def _final(self) -> float:
        """What the schedule comes to."""
        return 0.0 if self.schedule_of_sparsity is None else self.schedule_of_sparsity(2**62)

    def _cut(self, wanted: float) -> None:
        """Take the weights whose turn it is; what is masked already stays so."""
        self._reached = wanted
        shares: float | dict[str, float] = wanted
        if self.shares is not None:
            shares = {path: share * wanted for path, share in self.shares.items() if share * wanted > 0}
        found = masks_for({path: self._scores(path) for path in self.masks}, shares, self.scope)
        self.masks.replace({path: mask & self.masks[path] for path, mask in found.items()})
        self.masks.apply()

    def _scores(self, path: str) -> Array:
        """Scores of a layer; what is masked already comes before all others."""
        mask = self.masks[path]
        if self.score == "movement":
            found = self._moved.get(path, np.zeros(mask.shape))
            return np.where(mask, found, -np.inf)
        return np.where(mask, magnitude(self._modules[path].weight.data), -1.0)

    def _note_movement(self) -> None:
        for path in self.masks:
            weight = self._modules[path].weight
            if weight.grad is not None:
                moved = movement(weight.data, weight.grad.data)
                self._moved[path] = self._moved.get(path, 0.0) + moved

    def keep_if_best(self, figure: float) -> bool:
        """As `Trainer.keep_if_best`, once the last cut was made."""
        return self._reached >= self._final and super().keep_if_best(figure)


def fine_tune(
    model: Module,
    train: Iterable[Batch],
    masks: Masks,
    *,
    epochs: int,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    loss: Loss | None = None,
    schedule: Schedule | None = None,
    scope: Scope = "global",
    score: str = "magnitude",
    shares: Mapping[str, float] | None = None,
    validation: Iterable[Batch] | None = None,
    metrics: tuple[Metric, ...] = (),
    keep_best: str | None = None,
    compile: Compile | None = None,
    description: str = "fine-tune",
) -> History:
    """Train the model on, in place, under masks; a falling learning rate, AdamW, `epochs` over `train`.

    With a `schedule` (see `gradual`, `iterative`) the masks grow as training goes on; `PruningTrainer` says
    what `scope`, `score` and `shares` do. The loss is by default cross-entropy. Raises CompressionError for
    masks of another model, and what `Trainer.fit` raises.
    """
    if epochs < 1:
        raise CompressionError(f"fine_tune: {epochs} epochs; at least one")
    own = {id(p) for p in model.parameters()}
    if any(id(weight) not in own for weight in masks.weights()):
        raise CompressionError(
            "fine_tune: these masks are of another model; take those that prune gave with it"
        )
    optimizer = AdamW(
        [
            {"params": [p for p in model.parameters() if (p.ndim > 1) == decays], "weight_decay": amount}
            for decays, amount in ((True, weight_decay), (False, 0.0))
            if any((p.ndim > 1) == decays for p in model.parameters())
        ],
        lr=lr,
    )
    steps = epochs * len(train) if isinstance(train, Sized) else math.inf
    falling = (
        CosineWithWarmup(optimizer, min(100, int(steps) // 10), int(steps), 0.01)
        if steps < math.inf
        else None
    )
    trainer = PruningTrainer(
        model,
        optimizer,
        loss or CrossEntropyLoss(),
        schedule=falling,
        metrics=metrics,
        keep_best=keep_best,
        compile=compile,
        description=description,
        masks=masks,
        schedule_of_sparsity=schedule,
        scope=scope,
        score=score,
        shares=shares,
        every=max(1, min(EVERY, int(min(steps, EVERY * CUTS)) // CUTS)),
    )
    history = trainer.fit(train, epochs, validation=validation)
    if history.interrupted:
        raise KeyboardInterrupt
    model.eval()
    return history
