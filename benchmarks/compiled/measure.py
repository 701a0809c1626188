"""One workload measured: all arms built, checked to compute the same, timed in turns, set beside ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

import tinytorch as tt
from benchmarks.compiled import ours
from benchmarks.compiled.workloads import Workload
from benchmarks.interleave import Ratio, calls_for, interleave, per_call, ratio_of
from benchmarks.peers import onnx_runtime, open_vino, pytorch
from benchmarks.peers.arm import (
    BINDING,
    COMPILE,
    COMPILED,
    EAGER,
    OPENVINO,
    OURS,
    RUNTIME,
    Arm,
    UnavailableError,
    fastest,
    require_same,
)
from tinytorch import nn
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import Estimate, median

PAUSE = 0.02
"""Seconds between samples on several threads: so long do idle threads of BLAS and OpenMP keep a core busy."""

CHECKED = 3
"""Calls of each arm whose results are compared before it is timed."""


@dataclass
class Split:
    """Seconds of a whole call, of the kernels in it, and of the rest: medians over rounds that ran both."""

    whole: float
    kernel: float
    overhead: Estimate


@dataclass
class Measured:
    """A workload's arms, their times in turns, ours beside each peer, and peers that cannot run with why."""

    work: Workload
    arms: dict[str, Arm]
    seconds: dict[str, float]
    ratios: dict[str, Ratio]
    missing: dict[str, str] = field(default_factory=dict)
    inside: dict[str, Split] = field(default_factory=dict)

    def reached(self, peer: str) -> str:
        """Whether the ratio is as high as it must be, and beyond that as high as is aimed at.

        Empty where nothing is asked.
        """
        ratio, must, aim = self.ratios[peer].ratio, self.work.must.get(peer), self.work.aim.get(peer)
        if must is None:
            return ""
        if ratio < must:
            return "NO"
        return "yes, aim" if aim is not None and ratio >= aim else "yes"


def measure(work: Workload, compile_: ours.Compile, threads: int, rounds: int) -> Measured:
    """Time a workload's peers and ours, `rounds` samples each; raises ProfilingError as `contest` does."""
    missing: dict[str, str] = {}
    with contest(work, compile_, threads, missing) as arms:
        times, counts = timed(arms, rounds, threads)
        found = Measured(
            work,
            arms,
            {peer: float(np.median(samples)) for peer, samples in times.items()},
            {peer: ratio_of(times[COMPILED], times[peer]) for peer in arms if peer != COMPILED},
            missing,
        )
        if work.apart:
            found.inside = {
                peer: split(arm, counts[peer], rounds) for peer, arm in arms.items() if arm.kernel
            }
    return found


@contextmanager
def contest(
    work: Workload, compile_: ours.Compile, threads: int = 1, missing: dict[str, str] | None = None
) -> Iterator[dict[str, Arm]]:
    """The arms of a workload, ours and its peers', in the modes in which they are timed.

    Of a peer with variants the one that a short comparison finds fastest; reasons why a peer cannot run go to
    `missing`. Raises ProfilingError for an arm that computes something else.
    """
    groups = {COMPILED: [ours.arm_of(work, compile_)]}
    groups |= peers_of(work, threads, {} if missing is None else missing)
    with ExitStack() as modes:
        modes.callback(pytorch.forget_compiled)
        if work.optimizer is None:
            modes.enter_context(tt.no_grad())
            modes.enter_context(torch.inference_mode())
        right = expected(work)
        for arm in (arm for group in groups.values() for arm in group):
            require_same(arm, right)
        yield {peer: fastest(group, pause=_pause(threads)) for peer, group in groups.items()}


def timed(arms: Mapping[str, Arm], rounds: int, threads: int = 1) -> tuple[dict[str, Array], dict[str, int]]:
    """Seconds of a call of each arm, in interleaved rounds, and how many calls a sample has."""
    runs = {peer: arm.run for peer, arm in arms.items()}
    counts = {peer: calls_for(run) for peer, run in runs.items()}
    return interleave(runs, rounds, counts, lead=True, pause=_pause(threads)), counts


def _pause(threads: int) -> float:
    return PAUSE if threads > 1 else 0.0


def split(arm: Arm, calls: int, rounds: int) -> Split:
    """Kernel time and call overhead of an arm that knows a way to tell them apart."""
    assert arm.kernel is not None
    kernel = arm.kernel()
    kernel(calls)
    pairs = np.array([(per_call(arm.run, calls), kernel(calls)) for _ in range(rounds)])
    whole, inside = np.median(pairs, 0)
    return Split(float(whole), float(inside), median(pairs[:, 0] - pairs[:, 1]))


def expected(work: Workload) -> list[Array]:
    """What our eager mode computes at its first calls: the output, or the loss before each update."""
    arm = ours.arm_of(work)
    return [arm.read(arm.run()).copy() for _ in range(CHECKED)]


def peers_of(
    work: Workload, threads: int, missing: dict[str, str], but: tuple[str, ...] = ()
) -> dict[str, list[Arm]]:
    """The variants of each peer, ours eager among them, less `but`; why one cannot run goes to `missing`."""
    model, x = work.build()
    found: dict[str, list[Arm]] = {}
    for peers, make in _makers(work, model, x, threads):
        wanted = [peer for peer in peers if peer in work.peers and peer not in but]
        if not wanted:
            continue
        try:
            arms = make()
        except UnavailableError as reason:
            missing.update(dict.fromkeys(wanted, str(reason)))
            continue
        found.update({peer: [arm for arm in arms if arm.peer == peer] for peer in wanted})
    return {peer: found[peer] for peer in work.peers if peer in found}


def _makers(
    work: Workload, model: nn.Module, x: Array, threads: int
) -> list[tuple[tuple[str, ...], Callable[[], list[Arm]]]]:
    """Peers, and what makes their arms on copies of the weights."""
    eager: tuple[tuple[str, ...], Callable[[], list[Arm]]] = ((OURS,), lambda: [ours.arm_of(work)])
    optimizer = work.optimizer
    if optimizer is not None:
        y = work.labels(model, x)
        return [
            ((EAGER,), lambda: pytorch.eager_step(model, optimizer, x, y)),
            ((COMPILE,), lambda: pytorch.compiled_step(model, optimizer, x, y, threads)),
            eager,
        ]
    export = functools.cache(functools.partial(onnx_runtime.exported, model, x))
    return [
        ((EAGER,), lambda: pytorch.eager_forward(model, x)),
        ((COMPILE,), lambda: pytorch.compiled_forward(model, x, threads)),
        ((RUNTIME, BINDING), lambda: onnx_runtime.forward(model, x, threads, export)),
        ((OPENVINO,), lambda: open_vino.forward(x, threads, export)),
        eager,
    ]
