"""Scaling by measurement: the exponents with which time and FLOPs grow with batch, width and length."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch import console
from tinytorch.errors import ProfilingError
from tinytorch.models import CNN, GPT, MLP, build
from tinytorch.models.registry import Model, name_of
from tinytorch.nn.module import Module
from tinytorch.ops.attention import attention
from tinytorch.ops.context import grad_mode
from tinytorch.profiling.statistics import Estimate, fit_exponent, median
from tinytorch.profiling.subject import Subject, subject_of
from tinytorch.profiling.timing.timer import Stopwatch, collector_off
from tinytorch.profiling.trace import OpCosts
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

BATCH, WIDTH, LENGTH, SIDE = "batch", "width", "length", "side"
AXES = (BATCH, WIDTH, LENGTH, SIDE)
_HEAD = 32  # features of an attention head, as the width of a model varies


@dataclass(frozen=True)
class Scaling:
    """How a pass grows with one size: FLOPs counted, and seconds measured, at each of `sizes`.

    The exponents are those of a power law through all sizes. Time need not follow one: the interval of its
    exponent includes what the law misses. `at_the_end`: the exponent of time between the two largest sizes.
    """

    name: str
    axis: str
    sizes: tuple[int, ...]
    flops: tuple[int, ...]
    seconds: tuple[Estimate, ...]
    flops_exponent: Estimate
    time_exponent: Estimate
    at_the_end: Estimate


def scaling_of(
    name: str, axis: str, sizes: Sequence[int], flops: Sequence[int], times: Sequence[Sequence[float]]
) -> Scaling:
    """The exponents of FLOPs and of times: `times[i][r]` are the seconds at `sizes[i]` in round r.

    Raises ProfilingError for fewer than two different sizes.

    >>> found = scaling_of("f", "batch", (1, 2, 4), (3, 12, 48), [[1.0, 1.1], [2.0, 2.2], [4.0, 4.4]])
    >>> round(found.flops_exponent.value, 6), round(found.time_exponent.value, 6)
    (2.0, 1.0)
    """
    if len({*sizes}) < 2 or len({*sizes}) != len(sizes):
        raise ProfilingError(f"scaling: sizes {tuple(sizes)}; expected two or more, each another")
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    xs, work, found = [sizes[i] for i in order], [flops[i] for i in order], [times[i] for i in order]
    medians = [median(one) for one in found]
    steps = np.log(np.divide(found[-1], found[-2])) / np.log(xs[-1] / xs[-2])
    return Scaling(
        name,
        axis,
        tuple(xs),
        tuple(work),
        tuple(medians),
        fit_exponent(xs, work),
        fit_exponent(xs, [one.value for one in medians]),
        median(steps),
    )


def measure_scaling(
    name: str, axis: str, sizes: Sequence[int], make: Callable[[int], Subject], rounds: int = 20
) -> Scaling:
    """Count and time `make(size)` at each size, all sizes in turns and in random order.

    Nothing is recorded for backward. Raises ProfilingError where no FLOPs can be counted.
    """
    subjects = [make(size) for size in sizes]
    with grad_mode(False):
        flops = [count_flops(subject) for subject in subjects]
        times = in_turns([subject.call for subject in subjects], rounds, f"{name} by {axis}")
    return scaling_of(name, axis, sizes, flops, times)


def count_flops(subject: Subject) -> int:
    """FLOPs of a call, in convention "all"; raises ProfilingError where none count, or an op has no rule."""
    costs = OpCosts()
    costs.run(subject.call)
    missing = sorted({key.op for key, cost in costs.rows if cost.flops is None})
    total = sum(cost.flops or 0 for _, cost in costs.rows)
    if missing or not total:
        what = f"no rule for {', '.join(missing)}" if missing else "nothing that counts runs in it"
        raise ProfilingError(f"{subject.name}: its FLOPs cannot be counted: {what}")
    return total


def in_turns(
    calls: Sequence[Callable[[], object]], rounds: int, what: str, seed: int = 0
) -> list[list[float]]:
    """Seconds of each call in each round; the order is random, and a call comes after another of the same."""
    rng = np.random.default_rng(seed)
    clocks = [Stopwatch() for _ in calls]
    with collector_off(), console.progress(rounds, what, "rounds") as bar:
        for number in range(1, rounds + 1):
            for i in rng.permutation(len(calls)).tolist():
                calls[i]()
                clocks[i].time(calls[i])
            bar.update(number)
    return [clock.samples for clock in clocks]


# ---------------------------------------------------------------- models of any size


def sized(model: Module, axis: str, size: int) -> Subject:
    """A pass of a model like this one, with first values, and with one of its sizes set.

    Width is that of an MLP's hidden layers, or of a GPT, whose heads keep about 32 features; length that of a
    GPT's sequences; side that of a CNN's images; batch that of any model's input, the model then being the
    one given. Raises ProfilingError for a size below 1, and for one that the model does not have.

    >>> from tinytorch.models import MLP
    >>> sized(MLP((784, 128, 10)), "width", 64).model.sizes
    (784, 64, 10)
    """
    if size < 1 or axis not in axes_of(model):
        raise ProfilingError(
            f"scaling: {type(model).__name__} has no {axis} of {size}; it has {', '.join(axes_of(model))}"
        )
    found = model if axis == BATCH else _rebuilt(model, axis, size)
    found.eval()
    return subject_of(found, (example(found, size if axis == BATCH else 1),))


def _rebuilt(model: Module, axis: str, size: int) -> Model:
    assert isinstance(model, Model)
    config = model.config()
    if isinstance(model, MLP):
        config["sizes"] = [model.sizes[0], *[size] * (len(model.sizes) - 2), model.sizes[-1]]
    elif axis == WIDTH:
        config |= {"width": size, "heads": max(1, size // _HEAD)}
    else:
        config[{LENGTH: "context", SIDE: "image_size"}[axis]] = size
    return build(name_of(model), **config)


def axes_of(model: Module) -> tuple[str, ...]:
    """The sizes in which a model can be made to vary.

    >>> from tinytorch.models import CNN
    >>> axes_of(CNN())
    ('batch', 'side')
    """
    if isinstance(model, MLP):
        return (BATCH, WIDTH) if len(model.sizes) > 2 else (BATCH,)
    if isinstance(model, GPT):
        return (BATCH, WIDTH, LENGTH)
    return (BATCH, SIDE) if isinstance(model, CNN) else (BATCH,)


def example(model: Module, batch: int, length: int = 0) -> Tensor:
    """A random input like the model's example, of another batch and, where it is token ids, length."""
    given: Tensor | None = model.example_input
    if given is None:
        raise ProfilingError(f"{type(model).__name__} has no example_input to make others like")
    rng = Generator(0)
    if given.dtype.kind == "i":
        return rng.randint(0, max(2, int(given.data.max())), (batch, length or given.shape[1]))
    return rng.rand(batch, *given.shape[1:], dtype=given.dtype)


SIZES = {
    BATCH: (1, 2, 4, 8, 16, 32),
    WIDTH: (64, 128, 256, 512),
    LENGTH: (32, 64, 128, 256, 512),
    SIDE: (16, 24, 32, 48, 64),
}
QUICK_SIZES = {BATCH: (1, 4, 16), WIDTH: (32, 64, 128), LENGTH: (32, 64, 128), SIDE: (12, 20, 28)}


def model_scaling(model: Module, quick: bool = False, rounds: int = 20) -> list[Scaling]:
    """How the passes of a model grow with each size that it has."""
    sizes = QUICK_SIZES if quick else SIZES
    return [
        measure_scaling(
            type(model).__name__, axis, sizes[axis], functools.partial(sized, model, axis), rounds
        )
        for axis in axes_of(model)
    ]


def attention_scaling(
    lengths: Sequence[int] = (64, 128, 256, 512), width: int = 128, heads: int = 4, rounds: int = 20
) -> Scaling:
    """How the attention op alone (scores, softmax, weighted sum) grows with the length of the sequence.

    Its FLOPs are in proportion to the square of the length, causal or not, as they are counted in full.

    >>> found = attention_scaling((16, 32, 64), width=8, heads=2, rounds=2)
    >>> round(found.flops_exponent.value, 9)
    2.0
    """
    rng = Generator(0)

    def make(length: int) -> Subject:
        q, k, v = (rng.randn(1, heads, length, width // heads) for _ in range(3))

        def attend() -> Any:
            return attention(q, k, v, causal=True)

        return subject_of(attend)

    return measure_scaling("attention op", LENGTH, lengths, make, rounds)
