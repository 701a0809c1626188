"""An arm of a comparison: one way to do a piece of work, with what it is called and how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.interleave import calls_for, interleave
from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array

EAGER = "PyTorch eager"
COMPILE = "torch.compile"
RUNTIME = "ONNX Runtime"
BINDING = "ONNX Runtime, IOBinding"
OPENVINO = "OpenVINO"
OURS = "TinyTorch eager"
COMPILED = "TinyTorch compiled"

PILOT = 9
"""Rounds in which the variants of a peer are compared; the fastest one takes part."""


class UnavailableError(Exception):
    """A peer cannot run here; the text says why, for the table."""


@dataclass(frozen=True)
class Arm:
    """One way to do the work: `run` does it once, `read` makes an array of what that returned.

    `how` names the variant where a peer has several. `kernel()`, where there is a way to know, prepares a
    function of n: seconds of one of n runs without the way in from Python; `inside` says how that is had.
    """

    peer: str
    how: str
    run: Callable[[], Any]
    read: Callable[[Any], Array]
    kernel: Callable[[], Callable[[int], float]] | None = None
    inside: str = ""


def fastest(arms: Sequence[Arm], rounds: int = PILOT, pause: float = 0.0) -> Arm:
    """The arm of the lowest median, of variants of one peer."""
    if len(arms) == 1:
        return arms[0]
    runs = {str(number): arm.run for number, arm in enumerate(arms)}
    counts = {name: calls_for(run) for name, run in runs.items()}
    times = interleave(runs, rounds, counts, warmup=1, lead=True, pause=pause)
    return arms[int(min(times, key=lambda name: float(np.median(times[name]))))]


def relative_error(found: Array, expected: Array) -> float:
    """The largest difference over the largest number expected; infinite where shapes or NaNs differ.

    >>> relative_error(np.array([1.0, 4.5]), np.array([1.0, 4.0]))
    0.125
    """
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    difference, scale = np.abs(found - expected).max(initial=0.0), np.abs(expected).max(initial=0.0)
    return float(difference / scale) if scale else float(difference)


def require_same(arm: Arm, expected: Sequence[Array], limit: float = 1e-3) -> None:
    """Run an arm once for each array expected; raises ProfilingError if what it computes is something else.

    Several calls, since a compiled function may run eagerly at its first one, and a training step moves on.
    The limit is loose on purpose: it tells a wrong model from sums in another order.
    """
    for call, array in enumerate(expected, 1):
        error = relative_error(arm.read(arm.run()), array)
        if not error <= limit:
            raise ProfilingError(
                f"{arm.peer} ({arm.how or 'plain'}), call {call}: differs by {error:.2g} of the largest "
                f"number from what our eager mode computes, above {limit:g}: its time is that of other work"
            )


def uses(model: Module, *kinds: type[Module]) -> bool:
    """Whether there is a module of one of these kinds in the model.

    >>> from tinytorch import models, nn
    >>> uses(models.CNN(), nn.Conv2d), uses(models.MLP(), nn.Conv2d)
    (True, False)
    """
    return any(isinstance(module, kinds) for _, module in model.named_modules())
