"""Schedules: the learning rate as a function of the number of steps made."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from tinytorch.errors import CheckpointError
from tinytorch.optim.optimizer import Optimizer


class Schedule(ABC):
    """Multiplies the learning rates that an optimizer has now by a factor that depends on the step alone."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base = [float(group["lr"]) for group in optimizer.param_groups]
        self.count = 0
        self.at(0)

    @abstractmethod
    def factor(self, step: int) -> float:
        """The factor for the step after `step` steps were made."""

    def at(self, step: int) -> None:
        """Set the learning rates for the step after `step` steps were made.

        The rate of each group becomes its entry of `self.base` times `self.factor(step)`, by `assign_`: the
        Tensor stays the same one. `self.count` becomes `step`.
        """
        factor = self.factor(step)
        self.count = step
        for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"].assign_(base * factor)

    def step(self) -> None:
        """Go on to the next step; call it after `optimizer.step()`."""
        self.at(self.count + 1)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps made and the learning rates that the factor multiplies."""
        return {"count": self.count, "base": list(self.base)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the schedule that gave `state` stood; raises CheckpointError and changes nothing."""
        self.check_state(state)
        self.base = [float(rate) for rate in state["base"]]
        self.at(state["count"])

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise CheckpointError unless `state` fits."""
        count, base = state.get("count"), state.get("base")
        if (
            set(state) != {"count", "base"}
            or type(count) is not int
            or count < 0
            or not isinstance(base, list)
        ):
            raise CheckpointError(f"{type(self).__name__}: {dict(state)} is not the state of a schedule")
        if len(base) != len(self.base) or not all(isinstance(b, float | int) and b >= 0 for b in base):
            raise CheckpointError(
                f"{type(self).__name__}: stored learning rates {base} do not fit {len(self.base)} groups"
            )


class StepLR(Schedule):
    """Multiplies the learning rate by `gamma` after every `step_size` steps.

    >>> from tinytorch import Tensor
    >>> from tinytorch.optim import SGD
    >>> optimizer = SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=10, gamma=0.5)
    >>> schedule.factor(9), schedule.factor(10), schedule.factor(25)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1 or gamma < 0:
            raise ValueError(f"StepLR: step_size {step_size} must be at least 1, gamma {gamma} at least 0")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        """gamma to the power of how many full periods of `step_size` steps were made, a float."""
        return float(self.gamma ** (step // self.step_size))


class CosineWithWarmup(Schedule):
    """Rises in a line over `warmup` steps, then falls as half a cosine to `min_ratio` at `total`, and stays.

    Source: Loshchilov and Hutter, 2017, "SGDR: stochastic gradient descent with warm restarts" (one period).

    >>> from tinytorch import Tensor
    >>> from tinytorch.optim import SGD
    >>> optimizer = SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = CosineWithWarmup(optimizer, warmup=2, total=10, min_ratio=0.1)
    >>> [round(schedule.factor(step), 2) for step in (0, 1, 2, 6, 10, 99)]
    [0.5, 1.0, 1.0, 0.55, 0.1, 0.1]
    """

    def __init__(self, optimizer: Optimizer, warmup: int, total: int, min_ratio: float = 0.0) -> None:
        if not 0 <= warmup <= total or total < 1 or not 0 <= min_ratio <= 1:
            raise ValueError(
                f"CosineWithWarmup: warmup {warmup} must be from 0 to total {total}, "
                f"and min_ratio {min_ratio} from 0 to 1"
            )
        self.warmup, self.total, self.min_ratio = warmup, total, min_ratio
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        """(step + 1) / warmup for each step < warmup, then along half a cosine from 1 to min_ratio.

        That is min_ratio + (1 - min_ratio) * (1 + cos(pi * part)) / 2, where part is
        (step - warmup) / (total - warmup), at most 1; where total equals warmup it is 0 at step = warmup and
        1 after it.
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        part = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * part))
