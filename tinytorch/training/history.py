"""History: what a training run measured, step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tinytorch.errors import CheckpointError


@dataclass
class History:
    """One entry a step in `steps`, `losses`, `lr` and `seconds` (since the start, pauses left out).

    `validation` holds one dict an evaluation: step, epoch, seconds, loss and the metrics.

    >>> history = History()
    >>> history.add(1, 0.5, 0.01, 0.2)
    >>> History.from_json(history.to_json()) == history
    True
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False

    def add(self, step: int, loss: float, lr: float, seconds: float) -> None:
        """Note down a step."""
        self.steps.append(step)
        self.losses.append(loss)
        self.lr.append(lr)
        self.seconds.append(seconds)

    def best(self, name: str, higher_is_better: bool) -> dict[str, float]:
        """The evaluation with the best figure of that name, the first of equals; ValueError for none."""
        return (max if higher_is_better else min)(self.validation, key=lambda entry: entry[name])

    def to_dict(self) -> dict[str, Any]:
        """Lists and numbers only."""
        return asdict(self)

    def to_json(self) -> str:
        """The history as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> History:
        """The history that `to_dict` wrote; raises CheckpointError."""
        columns = ("steps", "losses", "lr", "seconds")
        if set(found) != {f.name for f in fields(cls)} or not all(
            isinstance(found[name], list) for name in (*columns, "validation")
        ):
            raise CheckpointError(f"History: {sorted(found)} are not the entries of a history")
        if len({len(found[name]) for name in columns}) != 1:
            raise CheckpointError("History: its columns differ in length")
        return cls(**found)

    @classmethod
    def from_json(cls, text: str) -> History:
        """The history that `to_json` wrote; raises CheckpointError."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise CheckpointError(f"History: not JSON: {error}") from None
        if not isinstance(found, dict):
            raise CheckpointError("History: not the JSON of a history")
        return cls.from_dict(found)
