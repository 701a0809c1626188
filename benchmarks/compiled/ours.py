"""TinyTorch's own arms: eager and compiled, forward and training step, of a copy of the model each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import tinytorch as tt
from benchmarks.compiled.workloads import SGD, Workload
from benchmarks.peers.arm import COMPILED, OURS, Arm
from tinytorch import nn, optim
from tinytorch.nn import functional
from tinytorch.ops.spec import Array


class Program(Protocol):
    """What the benchmark asks of a compiled function."""

    def __call__(self, *inputs: tt.Tensor) -> tt.Tensor:
        """Run the program for inputs of these shapes."""

    def kernel_seconds(self, runs: int, *inputs: tt.Tensor) -> float:
        """Seconds of one of `runs` runs of the program alone, without the way in from Python."""


Compile: TypeAlias = Callable[[Callable[..., Any]], Program]


def forward(model: nn.Module, x: Array, compile_: Compile | None = None) -> Arm:
    """A forward pass, eager or compiled."""
    given = tt.Tensor(x)
    if compile_ is None:
        return Arm(OURS, "", functools.partial(model, given), _array)
    program = compile_(model)
    kernel = functools.partial(_kernel, program, given)
    return Arm(COMPILED, "", functools.partial(program, given), _array, kernel, "the program alone")


def step(model: nn.Module, optimizer: str, x: Array, y: Array, compile_: Compile | None = None) -> Arm:
    """A training step, eager or compiled."""
    run: Callable[..., Any] = training_step(model, optimizer)
    if compile_ is not None:
        run = compile_(run)
    peer = OURS if compile_ is None else COMPILED
    return Arm(peer, "", functools.partial(run, tt.Tensor(x), tt.Tensor(y)), _array)


def training_step(model: nn.Module, optimizer: str) -> Callable[[tt.Tensor, tt.Tensor], tt.Tensor]:
    """A function of inputs and labels: forward, backward, update; it returns the loss."""
    parameters = model.parameters()
    updates: optim.Optimizer
    if optimizer == SGD:
        updates = optim.SGD(parameters, lr=0.01)
    else:
        updates = optim.AdamW(parameters, lr=1e-3)

    def train_step(x: tt.Tensor, y: tt.Tensor) -> tt.Tensor:
        updates.zero_grad()
        logits = model(x)
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
        loss.backward()
        updates.step()
        return loss

    return train_step


def arm_of(work: Workload, compile_: Compile | None = None) -> Arm:
    """The arm of a workload on a model of its own."""
    model, x = work.build()
    if work.optimizer is None:
        return forward(model, x, compile_)
    return step(model, work.optimizer, x, work.labels(model, x), compile_)


def _array(out: tt.Tensor) -> Array:
    return out.detach().numpy()


def _kernel(program: Program, given: tt.Tensor) -> Callable[[int], float]:
    return lambda runs: program.kernel_seconds(runs, given)
