"""The models that are compressed: trained once from each seed, kept in runs/compressed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tinytorch as tt
from tinytorch import data, models
from tinytorch.data import DataLoader
from tinytorch.data.transforms import Transform
from tinytorch.models.registry import Model
from tinytorch.nn import CrossEntropyLoss
from tinytorch.random import Generator, manual_seed
from tinytorch.training import Accuracy, Trainer
from tinytorch.training.recipes import Recipe, optimizer_for, recipe_for, schedule_for

FOLDER = Path("runs") / "compressed"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Subject:
    """A model by name: which class with which arguments, and how its recipe differs from that class's."""

    kind: str
    config: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)


SUBJECTS = {
    "mlp": Subject("mlp", {}),
    "300-100": Subject("mlp", {"sizes": (784, 300, 100, 10)}),
    "cnn": Subject("cnn", {}),
    "lenet-5": Subject(
        "cnn",
        {"channels": (20, 50), "hidden": 500, "kernel_size": 5, "padding": 0},
        {"epochs": 12, "batch": 128, "flip": False},
    ),
}


def recipe(name: str, which: str) -> Recipe:
    """How a model is trained on a set."""
    subject = SUBJECTS[name]
    return replace(recipe_for(subject.kind, which), **subject.changes)


def loader(name: str, which: str, seed: int) -> DataLoader:
    """Training batches, in an order that follows from the seed."""
    found = recipe(name, which)
    flip: Transform | None = data.random_flip() if found.flip else None
    return DataLoader(
        data.load(which, "train"), found.batch, shuffle=True, seed=seed, drop_last=True, transform=flip
    )


def batches(which: str, split: str) -> list[tuple[tt.Tensor, ...]]:
    """A whole split in batches."""
    return list(DataLoader(data.load(which, split), 500))


def model(name: str, which: str, seed: int) -> Model:
    """The model, from its file or trained now; weights are those of the best epoch on validation."""
    path = FOLDER / f"{name}-{which}-{seed}.safetensors"
    if not path.exists():
        found, how = _fresh(name, seed), recipe(name, which)
        given = loader(name, which, seed)
        steps = (how.epochs or 1) * len(given)
        optimizer = optimizer_for(found, how)
        trainer = Trainer(
            found,
            optimizer,
            CrossEntropyLoss(label_smoothing=how.label_smoothing),
            schedule=schedule_for(optimizer, how, steps),
            metrics=[Accuracy()],
            keep_best="accuracy",
            compile=tt.compile,
            description=f"train {name} on {which}, seed {seed}",
        )
        if trainer.fit(given, how.epochs, validation=batches(which, "validation")).interrupted:
            raise KeyboardInterrupt
        models.save_weights(found, path)
    return models.load_weights(path)


def _fresh(name: str, seed: int) -> Model:
    manual_seed(seed)
    subject = SUBJECTS[name]
    return models.build(subject.kind, **subject.config, generator=Generator(seed))
