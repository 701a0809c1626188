"""The state of a training run in one safetensors file: written whole, checked before it is taken over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinytorch.errors import CheckpointError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.optim import Optimizer, Schedule
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training.files import read_tensors, tensors_of, write_tensors
from tinytorch.training.history import History

FORMAT = "tinytorch.training"
VERSION = 1
SECTIONS = ("model", "best", "optimizer", "generator")


@runtime_checkable
class Resumable(Protocol):
    """A loader whose order can be stored, such as `tinytorch.data.DataLoader`.

    `load_state_dict` raises CheckpointError, and changes nothing, for a state that does not fit.
    """

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def place_of(loader: object) -> dict[str, Any] | None:
    """Where a loader stands, or None for one that cannot say."""
    return loader.state_dict() if isinstance(loader, Resumable) else None


@dataclass
class Progress:
    """Where a run stands: steps and epochs made, batches taken in this epoch, and the best model so far."""

    step: int = 0
    epoch: int = 0
    batches: int = 0
    history: History = field(default_factory=History)
    loader: dict[str, Any] | None = None
    best: float | None = None
    best_weights: dict[str, Array] = field(default_factory=dict)


@dataclass
class Parts:
    """What a checkpoint holds the state of, besides the loader."""

    model: Module
    optimizer: Optimizer
    schedule: Schedule | None
    generators: Mapping[str, Generator]

    def tensors(self, best_weights: Mapping[str, Array]) -> dict[str, Array]:
        """All arrays of a run, each under the name of its section, a dot, and its own name.

        "model." and those of `tensors_of(self.model)`; "best." and those of `best_weights`; "optimizer." and
        the entries of `self.optimizer.state_dict()` that are Tensors (its options are not); "generator." and
        the `state` of each of `self.generators`.
        """
        optimizer = self.optimizer.state_dict()
        found = {f"model.{name}": array for name, array in tensors_of(self.model).items()}
        found |= {f"best.{name}": array for name, array in best_weights.items()}
        found |= {f"optimizer.{key}": v.data for key, v in optimizer.items() if isinstance(v, Tensor)}
        found |= {f"generator.{name}": g.state.data for name, g in self.generators.items()}
        return found


def sections(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """What `Parts.tensors` put together, apart again: for each of SECTIONS its arrays by their own names.

    A section without arrays is there, and empty. Raises CheckpointError, naming it, for a name of no section.

    >>> sections({"model.0.weight": np.ones(1)})["model"]
    {'0.weight': array([1.])}
    """
    found: dict[str, dict[str, Array]] = {name: {} for name in SECTIONS}
    for key, array in tensors.items():
        section, _, name = key.partition(".")
        if section not in found:
            raise CheckpointError(f"unexpected entry {key}")
        found[section][name] = array
    return found


def save_checkpoint(path: str | Path, parts: Parts, progress: Progress) -> None:
    """Write a run's state to one file, whole or not at all; raises CheckpointError."""
    tensors = parts.tensors(progress.best_weights)
    optimizer = parts.optimizer.state_dict()
    facts = {
        "optimizer": type(parts.optimizer).__name__,
        "options": {key: v for key, v in optimizer.items() if not isinstance(v, Tensor)},
        "schedule": None if parts.schedule is None else parts.schedule.state_dict(),
        "step": progress.step,
        "epoch": progress.epoch,
        "batches": progress.batches,
        "loader": progress.loader,
        "best": progress.best,
        "history": progress.history.to_dict(),
    }
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    write_tensors(path, contiguous, {"format": FORMAT, "version": str(VERSION), "state": json.dumps(facts)})


def load_checkpoint(path: str | Path, parts: Parts, loader: object) -> Progress:
    """Bring a run and its loader to the state that a file holds.

    Every check comes first: for a file that is cut off, foreign, newer, or of another model or optimizer,
    CheckpointError is raised and nothing is changed.
    """
    tensors, facts = _read(Path(path))
    try:
        return _take_over(tensors, facts, parts, loader)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged: {type(error).__name__}: {error}") from error


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: no training checkpoint. Weights alone are read by load_weights(model, path)."
        )
    version = metadata.get("version", "")
    if not version.isdecimal() or int(version) > VERSION:
        raise CheckpointError(
            f"{path}: written in version {version} of the format; this TinyTorch reads up to {VERSION}"
        )
    try:
        facts = json.loads(metadata["state"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its state cannot be read: {error}") from None
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path}: its state is not a table")
    return tensors, facts


def _take_over(tensors: dict[str, Array], facts: dict[str, Any], parts: Parts, loader: object) -> Progress:
    stored = sections(tensors)
    own = tensors_of(parts.model)
    _compare("model", own, stored["model"])
    if stored["best"]:
        _compare("best model", own, stored["best"])
    _compare("generator", {n: g.state.data for n, g in parts.generators.items()}, stored["generator"])
    if facts["optimizer"] != type(parts.optimizer).__name__:
        raise CheckpointError(f"made with {facts['optimizer']}, not with {type(parts.optimizer).__name__}")
    state = facts["options"] | {name: Tensor(array) for name, array in stored["optimizer"].items()}
    take_over_optimizer = parts.optimizer.staged(state)
    if (parts.schedule is None) != (facts["schedule"] is None):
        raise CheckpointError("made with a schedule, or without one, unlike this run")
    if parts.schedule is not None:
        parts.schedule.check_state(facts["schedule"])
    progress = _progress(facts, stored["best"])
    if isinstance(loader, Resumable) and progress.loader is not None:
        loader.load_state_dict(progress.loader)  # refuses here, before anything else is changed

    parts.model.load_state_dict(stored["model"])
    take_over_optimizer()
    if parts.schedule is not None:
        parts.schedule.load_state_dict(facts["schedule"])
    for name, generator in parts.generators.items():
        generator.state.assign_(Tensor(stored["generator"][name]))
    return progress


def _progress(facts: dict[str, Any], best_weights: dict[str, Array]) -> Progress:
    counts = [facts[name] for name in ("step", "epoch", "batches")]
    if any(type(count) is not int or count < 0 for count in counts):
        raise CheckpointError(f"step, epoch and batches are {counts}")
    best = None if facts["best"] is None else float(facts["best"])
    return Progress(
        step=facts["step"],
        epoch=facts["epoch"],
        batches=facts["batches"],
        history=History.from_dict(facts["history"]),
        loader=facts["loader"],
        best=best,
        best_weights=best_weights,
    )


def _compare(what: str, own: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    """Raise CheckpointError naming all entries that are missing, unexpected or of another shape or dtype."""
    problems = [f"missing {name}" for name in own.keys() - given.keys()]
    problems += [f"unexpected {name}" for name in given.keys() - own.keys()]
    for name in own.keys() & given.keys():
        a, b = own[name], given[name]
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            problems.append(f"{name} is {b.dtype}{b.shape}, expected {a.dtype}{a.shape}")
    if problems:
        shown = "; ".join(sorted(problems)[:10])
        raise CheckpointError(f"{what}: {shown} ({len(problems)} in all)")
