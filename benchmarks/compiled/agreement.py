"""Whether compiled models give what eager ones give: logits, and weights after a run of training steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tinytorch as tt
from benchmarks.compiled import ours
from benchmarks.compiled.workloads import Workload, workload
from benchmarks.peers.arm import relative_error

STEPS = 20
LOGITS, WEIGHTS = 1e-5, 1e-4
"""Largest relative errors allowed."""
FORWARDS = ("mlp-b1", "mlp-b32", "cnn-b1", "cnn-b32", "gpt-1x64", "minilm")
TRAINED = ("mlp-b32-step", "cnn-b32-step", "gpt-8x64-step")
NO_GRADIENT = "k_proj.bias"
"""Softmax takes out what all keys share: these biases move by rounding alone, and are left out."""


@dataclass
class Agreement:
    """The largest difference of compiled and eager results over the largest number of its tensor."""

    what: str
    error: float
    limit: float


def measure(compile_: ours.Compile) -> list[Agreement]:
    """All forward passes with figures, and the training steps with SGD."""
    found = [Agreement(f"logits, {name}", logits(workload(name), compile_), LOGITS) for name in FORWARDS]
    for name in TRAINED:
        what = f"weights after {STEPS} steps, {name}"
        found.append(Agreement(what, weights(workload(name), compile_), WEIGHTS))
    return found


def logits(work: Workload, compile_: ours.Compile) -> float:
    """Relative error of a compiled forward pass, at its third call."""
    model, x = work.build()
    with tt.no_grad():
        eager, compiled = ours.forward(model, x), ours.forward(model, x, compile_)
        expected = eager.read(eager.run()).copy()
        compiled.run(), compiled.run()
        return relative_error(compiled.read(compiled.run()), expected)


def weights(work: Workload, compile_: ours.Compile, steps: int = STEPS) -> float:
    """The largest relative error of any weight after steps on batches that differ, eager and compiled."""
    assert work.optimizer is not None
    rng = np.random.default_rng(2)
    (eager, x), (compiled, _) = work.build(), work.build()
    y = work.labels(eager, x)
    run_eager = ours.training_step(eager, work.optimizer)
    run_compiled = compile_(ours.training_step(compiled, work.optimizer))
    for _ in range(steps):
        batch, labels = tt.Tensor(rng.permuted(x, axis=0)), tt.Tensor(rng.permutation(y))
        run_eager(batch, labels)
        run_compiled(batch, labels)
    theirs = dict(compiled.named_parameters())
    return max(
        relative_error(theirs[name].detach().data, parameter.detach().data)
        for name, parameter in eager.named_parameters()
        if not name.endswith(NO_GRADIENT)
    )
