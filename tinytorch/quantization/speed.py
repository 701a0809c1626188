"""Speed: a layer compiled, before and after it went on codes, in turns on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytorch.acceleration.compiled import compile
from tinytorch.acceleration.native.lower import Fallback
from tinytorch.acceleration.runner import Interpreted
from tinytorch.autograd import no_grad
from tinytorch.nn.module import Module
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.compare import compare
from tinytorch.profiling.timing.comparison import SLOWER
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating

ROUNDS = 40


@dataclass(frozen=True)
class Race:
    """Medians in seconds; `gain` is the time before over that after, with its 95 % interval; a verdict."""

    before: Estimate
    after: Estimate
    gain: Estimate
    word: str

    @property
    def loses(self) -> bool:
        """Whether codes are slower, beyond chance."""
        return self.word == SLOWER


def race(before: Module, after: Module, *inputs: Tensor, rounds: int = ROUNDS, seed: int = 0) -> Race:
    """Both modules compiled, on the same inputs, in turns in random order."""
    with evaluating(before), evaluating(after), no_grad():
        ways = [compile(module) for module in (before, after)]
        for way in ways:
            for _ in range(3):
                way(*inputs)
        found = compare(
            lambda: ways[0](*inputs),
            lambda: ways[1](*inputs),
            names=["before", "after"],
            runs=rounds,
            seed=seed,
        )
    first, second = found.medians
    (verdict,) = found.verdicts
    return Race(first, second, verdict.ratio, verdict.word)


def weight_bytes(module: Module, *inputs: Tensor) -> int | None:
    """Bytes of weights that the kernels of a compiled module read in one run; None without native code.

    What is counted is what lies in the program: states as they are, and copies in the order kernels read.
    """
    fast = compile(module)
    with evaluating(module), no_grad():
        for _ in range(2):
            fast(*inputs)
    runner: Any = None if fast._last is None else fast._last.runner
    if runner is None or isinstance(runner, Interpreted):
        return None
    buffers = runner.lowered.buffers
    read: dict[int, int] = {}
    for step in runner.lowered.steps:
        if isinstance(step, Fallback):
            return None
        for place in step.reads:
            if buffers[place.buffer].kind in ("state", "packed", "constant"):
                read[place.buffer] = buffers[place.buffer].nbytes
    return sum(read.values(), 0)
