"""What is timed: models with inputs, the ratios that each must reach, and those it aims at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import tinytorch as tt
from benchmarks.compiled import untuned
from benchmarks.peers.arm import BINDING, COMPILE, EAGER, OPENVINO, OURS, RUNTIME
from tinytorch import models, nn
from tinytorch.ops.spec import Array

FORWARD, STEP, UNTUNED, MINILM = "forward", "training step", "models nobody tuned for", "all-MiniLM-L6-v2"
SGD, ADAMW = "sgd", "adamw"
ALL = (EAGER, COMPILE, RUNTIME, BINDING, OPENVINO, OURS)
TRAINERS = (EAGER, COMPILE, OURS)


@dataclass(frozen=True)
class Workload:
    """A forward pass, or with an optimizer a training step, of a model on one input.

    `must` and `aim`: for a peer, how many times as long as ours its time is to be. `apart`: whether kernel
    time and call overhead are printed apart.
    """

    name: str
    group: str
    model: Callable[[], nn.Module]
    x: Callable[[nn.Module], Array]
    must: Mapping[str, float]
    aim: Mapping[str, float] = field(default_factory=dict)
    optimizer: str | None = None
    peers: tuple[str, ...] = ALL
    apart: bool = False

    def build(self) -> tuple[nn.Module, Array]:
        """The model, with the same first values at each call and in the mode that fits, and its input."""
        tt.manual_seed(0)
        model = self.model().train(self.optimizer is not None)
        return model, self.x(model)

    def labels(self, model: nn.Module, x: Array) -> Array:
        """A random class for each row of logits."""
        with tt.meta():
            rows = model(tt.Tensor(x)).shape
        return np.random.default_rng(1).integers(0, rows[-1], int(np.prod(rows[:-1])))


def images(batch: int, channels: int = 1, side: int = 28) -> Callable[[nn.Module], Array]:
    """Random images, 0 to 1."""
    return lambda _: np.random.default_rng(0).random((batch, channels, side, side), np.float32)


def rows(batch: int, features: int) -> Callable[[nn.Module], Array]:
    """Random rows, 0 to 1."""
    return lambda _: np.random.default_rng(0).random((batch, features), np.float32)


def tokens(batch: int, length: int, vocabulary: int = 256) -> Callable[[nn.Module], Array]:
    """Random ids."""
    return lambda _: np.random.default_rng(0).integers(0, vocabulary, (batch, length))


def example(model: nn.Module) -> Array:
    """The input that the model brings."""
    given = model.example_input
    assert isinstance(given, tt.Tensor)
    return given.numpy().copy()


def _step(
    name: str,
    model: Callable[[], nn.Module],
    x: Callable[[nn.Module], Array],
    must: float,
    aim: float,
) -> list[Workload]:
    """A training step with SGD, which is held to figures, and with AdamW, of which only ours is."""
    held = {EAGER: must, COMPILE: 1.0, OURS: 1.0}
    return [
        Workload(f"{name}-step", STEP, model, x, held, {EAGER: aim}, SGD, TRAINERS),
        Workload(f"{name}-adamw", STEP, model, x, {OURS: 1.0}, {}, ADAMW, TRAINERS),
    ]


def _untuned(name: str, model: Callable[[], nn.Module], x: Callable[[nn.Module], Array]) -> list[Workload]:
    """Forward pass and training step of a model without figures of its own."""
    must, aim = {EAGER: 1.0, OURS: 1.0}, {EAGER: 2.0}
    return [
        Workload(name, UNTUNED, model, x, must, aim, peers=(EAGER, RUNTIME, OURS)),
        Workload(f"{name}-step", UNTUNED, model, x, must, aim, SGD, (EAGER, OURS)),
    ]


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "mlp-b1",
        FORWARD,
        models.MLP,
        rows(1, 784),
        {EAGER: 6.0, RUNTIME: 2.3, BINDING: 1.5, OURS: 1.0},
        {EAGER: 10.0, RUNTIME: 3.5, BINDING: 2.3},
        apart=True,
    ),
    Workload(
        "mlp-b32",
        FORWARD,
        models.MLP,
        rows(32, 784),
        {EAGER: 1.8, RUNTIME: 1.1, OURS: 1.0},
        {EAGER: 3.0, RUNTIME: 1.4},
    ),
    Workload(
        "cnn-b1",
        FORWARD,
        models.CNN,
        images(1),
        {EAGER: 3.0, RUNTIME: 1.8, OURS: 1.0},
        {RUNTIME: 2.8},
        apart=True,
    ),
    Workload(
        "cnn-b32",
        FORWARD,
        models.CNN,
        images(32),
        {EAGER: 3.0, RUNTIME: 1.3, OURS: 1.0},
        {RUNTIME: 1.9},
    ),
    Workload(
        "gpt-1x64",
        FORWARD,
        models.GPT,
        tokens(1, 64),
        {EAGER: 1.7, COMPILE: 1.0, RUNTIME: 1.1, OURS: 1.0},
        {EAGER: 2.3, RUNTIME: 1.4},
        apart=True,
    ),
    *_step("mlp-b32", models.MLP, rows(32, 784), 3.0, 4.5),
    *_step("cnn-b32", models.CNN, images(32), 2.0, 4.0),
    *_step("gpt-8x64", models.GPT, tokens(8, 64), 1.3, 2.0),
    *_untuned("odd-mlp", untuned.odd_mlp, rows(17, 771)),
    *_untuned("deep-mlp", untuned.deep_mlp, rows(5, 50)),
    *_untuned("conv-5x5", untuned.wide_windows, images(9, 3, 33)),
    *_untuned("conv-strided", untuned.strides, images(4, 3, 45)),
    *_untuned("conv-groups", untuned.groups, images(3, 3, 31)),
    *_untuned("odd-gpt", untuned.odd_gpt, tokens(3, 37, 97)),
    *_untuned("deep-gpt", untuned.deep_gpt, tokens(2, 21, 64)),
    Workload(
        "minilm",
        MINILM,
        models.load_minilm,
        example,
        {EAGER: 1.2, RUNTIME: 1.0, OURS: 1.0},
        {EAGER: 1.5, RUNTIME: 1.2},
        apart=True,
    ),
)


def workload(name: str) -> Workload:
    """The workload of this name; raises KeyError where there is none.

    >>> workload("mlp-b1").optimizer is None
    True
    """
    return {work.name: work for work in WORKLOADS}[name]
