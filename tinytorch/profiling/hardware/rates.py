"""How fast this machine runs each class of op: rates by size, measured on single ops through TinyTorch."""

from __future__ import annotations

import bisect
import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch import nn
from tinytorch.ops.attention import attention
from tinytorch.ops.context import grad_mode
from tinytorch.ops.elementwise import erf
from tinytorch.ops.reduce import mean
from tinytorch.profiling.hardware.workload import Demand, record_call
from tinytorch.profiling.timing.timer import collector_off
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

PRODUCT, CONVOLUTION, ATTENTION, NORM = "product", "convolution", "attention", "norm"
CURVED, ERF, POOLING, GATHER, REDUCTION, SIMPLE, VIEW = (
    "curved",
    "erf",
    "pooling",
    "gather",
    "reduction",
    "simple",
    "view",
)
KINDS = (PRODUCT, CONVOLUTION, ATTENTION, NORM, CURVED, ERF, POOLING, GATHER, REDUCTION, SIMPLE, VIEW)

_NAMES = {
    CONVOLUTION: ("conv2d", "conv2dinputgrad", "conv2dweightgrad"),
    ATTENTION: ("attention", "attentiongrad"),
    NORM: (
        *("layernorm", "layernormgrad", "batchnorm", "batchnormgrad"),
        *("softmax", "logsoftmax", "crossentropy"),
    ),
    CURVED: ("gelutanh", "gelutanhgrad", "exp", "log", "tanh", "sigmoid", "sin", "cos", "pow"),
    ERF: ("erf",),  # SciPy's, some ten times slower than NumPy's functions
    POOLING: ("maxpool2d", "maxpool2dgrad", "maxpool2dpick", "avgpool2d", "avgpool2dgrad"),
    GATHER: ("lookup", "take", "takegrad", "gather", "gathergrad", "concat", "pad"),
    REDUCTION: ("sum", "mean", "max", "min", "argmax"),
}
_KIND_OF = {name: kind for kind, names in _NAMES.items() for name in names}
CALL, FLOPS, BYTES, INTENSITY = "call", "flops", "bytes", "intensity"

_LEAST, _MOST, _SECONDS = 11, 100, 1.5  # rounds, and the time after which there are no more than needed


def kind_of(op: Demand) -> str:
    """The class of ops whose rates an op is held to: by its name, or else by what it does.

    >>> kind_of(Demand("linear", 27, 88, 24)), kind_of(Demand("reshape", 0, 0, 0))
    ('product', 'view')
    """
    if op.name in _KIND_OF:
        return _KIND_OF[op.name]
    if op.matmul_flops:
        return PRODUCT
    return SIMPLE if op.bytes else VIEW


@dataclass(frozen=True)
class Curve:
    """A rate that depends on the size of the work in one call: sizes in order, and the rate at each."""

    sizes: tuple[float, ...]
    rates: tuple[float, ...]

    def at(self, size: float) -> float:
        """The rate at a size: between two sizes by the logarithms of both, beyond the ends that of the end.

        >>> Curve((1e3, 1e5), (1e9, 4e9)).at(1e4)
        2000000000.0
        """
        i = bisect.bisect_left(self.sizes, size)
        if i in (0, len(self.sizes)):
            return self.rates[min(i, len(self.sizes) - 1)]
        (low, high), (slow, fast) = self.sizes[i - 1 : i + 1], self.rates[i - 1 : i + 1]
        part = math.log(size / low) / math.log(high / low)
        return slow * math.exp(part * math.log(fast / slow))


@dataclass(frozen=True)
class Rates:
    """How fast a class of ops runs: seconds of a call however small, and FLOP/s and bytes/s by size."""

    call: float
    flops: Curve | None = None
    bytes: Curve | None = None
    intensity: Curve | None = None

    def seconds(self, op: Demand, working_set: float) -> float:
        """calls * (call + max(FLOPs / rate, bytes / rate)), the rates being those at the size of one call.

        FLOPs go at the lower of the rates that their number and their number per byte allow (a product of few
        rows is slow however large). Weights of a product come from where a whole pass leaves them: bytes go
        at the rate at `working_set`, the bytes that all ops of a pass move.
        """
        calls = max(op.calls, 1e-9)
        flops, moved = op.flops / calls, op.bytes / calls
        computing = moving = 0.0
        if self.flops and flops:
            dense = self.intensity.at(flops / moved) if self.intensity and moved else math.inf
            computing = flops / min(self.flops.at(flops), dense)
        if self.bytes and moved:
            moving = moved / self.bytes.at(max(moved, working_set) if op.matmul_flops else moved)
        return op.calls * (self.call + max(computing, moving))


# ---------------------------------------------------------------- single ops, timed


@dataclass(frozen=True)
class Case:
    """A call of one op, and what it tells about its class: the cost of a call, or a rate by FLOPs, by bytes,
    or (FLOP/s) by FLOPs per byte."""

    kind: str
    tells: str
    run: Callable[[], object]


def measure_rates() -> dict[str, Rates]:
    """Rates of all classes of op with the threads and versions at hand, without recording for backward.

    An op's own data are in cache and other small ops have just run, as in a model; run again and again by
    itself, a small op is up to three times faster than there. Rates are of the time beyond a tiny call.
    """
    found = cases()
    with grad_mode(False):
        works = [record_call(case.run) for case in found]
        times = interleaved([case.run for case in found], _other_ops())
    rows: dict[str, list[Row]] = {}
    for case, ops, seconds in zip(found, works, times, strict=True):
        rows.setdefault(case.kind, []).append(Row(case.tells, _whole(ops), seconds))
    return {kind: _rates(list_) for kind, list_ in rows.items()}


def interleaved(
    runs: Sequence[Callable[[], object]], between: Callable[[], object] | None = None, seed: int = 0
) -> list[float]:
    """Median seconds of single calls, all taking turns in random order, so that what drifts drifts for all.

    Each timed call follows another of the same, and `between` if that is given.
    """
    rng = np.random.default_rng(seed)
    readings: list[list[int]] = [[] for _ in runs]
    start = time.perf_counter()
    with collector_off():
        while len(readings[0]) < _LEAST or (
            len(readings[0]) < _MOST and time.perf_counter() - start < _SECONDS
        ):
            for i in rng.permutation(len(runs)).tolist():
                run = runs[i]
                run()
                if between is not None:
                    between()
                begun = time.perf_counter_ns()
                run()
                readings[i].append(time.perf_counter_ns() - begun)
    return [float(np.median(found)) * 1e-9 for found in readings]


def _other_ops() -> Callable[[], object]:
    """A few small ops of several classes: Python and the processor then have other code in their caches."""
    rng = Generator(1)
    x = rng.rand(4, 16)
    layers = nn.Sequential(nn.Linear(16, 16, generator=rng), nn.ReLU(), nn.LayerNorm(16), nn.GELU("tanh"))
    return lambda: (layers(x) + x).reshape(2, 32).permute(1, 0)


@dataclass(frozen=True)
class Row:
    """A case measured: what it tells, its work, and the seconds of one call."""

    tells: str
    work: Demand
    seconds: float


def _rates(rows: Sequence[Row]) -> Rates:
    call = next(row.seconds for row in rows if row.tells == CALL)
    return Rates(
        call,
        _curve(rows, FLOPS, call, lambda work: work.flops),
        _curve(rows, BYTES, call, lambda work: work.bytes),
        _curve(rows, INTENSITY, call, lambda work: work.flops / work.bytes),
    )


def _whole(ops: Sequence[Demand]) -> Demand:
    """The ops of a case as one."""
    sums = (sum(op.flops for op in ops), sum(op.bytes for op in ops), sum(op.matmul_flops for op in ops))
    return Demand(ops[0].name, *sums)


def _curve(rows: Sequence[Row], tells: str, call: float, size: Callable[[Demand], float]) -> Curve | None:
    """Work over the time beyond a call; where noise leaves next to none, a tenth of the time stands in."""
    points = []
    for row in rows:
        if row.tells == tells:
            done = row.work.bytes if tells == BYTES else row.work.flops
            points.append((size(row.work), done / max(row.seconds - call, 0.1 * row.seconds)))
    points.sort()
    return Curve(tuple(x for x, _ in points), tuple(rate for _, rate in points)) if points else None


def cases() -> list[Case]:
    """The calls to time: one tiny op of each class, and for each rate some sizes from cache to memory."""
    rng = Generator(0)

    def apply(kind: str, tells: str, module: Callable[[Tensor], object], *shape: int) -> Case:
        return Case(kind, tells, functools.partial(module, rng.rand(*shape)))

    def dense(tells: str, rows: int, size: int) -> Case:
        return apply(PRODUCT, tells, nn.Linear(size, size, generator=rng), rows, size)

    def convolve(tells: str, channels: int, out: int, batch: int, size: int) -> Case:
        layer = nn.Conv2d(channels, out, 3, padding=1, generator=rng)
        return apply(CONVOLUTION, tells, layer, batch, channels, size, size)

    def attend(tells: str, length: int, width: int = 32) -> Case:
        q, k, v = (rng.rand(1, 4, length, width) for _ in range(3))
        return Case(ATTENTION, tells, lambda: attention(q, k, v, causal=True))

    def look_up(tells: str, count: int) -> Case:
        return Case(GATHER, tells, functools.partial(table, rng.randint(0, 256, (1, count))))

    def plus(tells: str, size: int) -> Case:
        x, y = rng.rand(size), rng.rand(size)
        return Case(SIMPLE, tells, lambda: x + y)

    def bell(tells: str, size: int) -> Case:  # its time depends on the values: as activations
        return Case(ERF, tells, functools.partial(erf, rng.randn(size)))

    norm, table, pool, gelu = nn.LayerNorm(128), nn.Embedding(256, 128), nn.MaxPool2d(2), nn.GELU("tanh")
    relu, average, matrix = nn.ReLU(), functools.partial(mean, axis=-1), rng.rand(4, 4)
    return [
        dense(CALL, 1, 4),
        *(dense(FLOPS, size, size) for size in (32, 64, 128, 240, 512)),
        *(dense(BYTES, 1, size) for size in (64, 256, 768, 1536, 3072)),
        *(dense(INTENSITY, rows, 640) for rows in (2, 6, 12, 24, 48, 96, 384)),
        convolve(CALL, 1, 1, 1, 1),
        *(convolve(FLOPS, 32, 32, batch, size) for batch, size in ((1, 7), (1, 14), (1, 28), (8, 28))),
        *(convolve(BYTES, 1, 16, batch, size) for batch, size in ((1, 14), (1, 28), (4, 28), (16, 28))),
        attend(CALL, 1, 1),
        *(attend(FLOPS, length) for length in (16, 48, 128, 320)),
        apply(NORM, CALL, norm, 1, 128),
        *(apply(NORM, BYTES, norm, rows, 128) for rows in (16, 128, 1024, 8192)),
        apply(CURVED, CALL, gelu, 1),
        *(apply(CURVED, FLOPS, gelu, size) for size in (2**12, 2**16, 2**19, 2**21)),
        bell(CALL, 1),
        *(bell(FLOPS, size) for size in (2**11, 2**15, 2**18)),
        apply(POOLING, CALL, pool, 1, 1, 2, 2),
        *(apply(POOLING, BYTES, pool, batch, 16, 28, 28) for batch in (1, 5, 16, 64)),
        look_up(CALL, 1),
        *(look_up(BYTES, count) for count in (32, 240, 4096)),
        apply(REDUCTION, CALL, average, 1, 1),
        *(apply(REDUCTION, BYTES, average, rows, 128) for rows in (32, 512, 8192, 32768)),
        apply(SIMPLE, CALL, relu, 1),
        *(apply(SIMPLE, BYTES, relu, size) for size in (12_000, 2**17, 2**20)),
        *(plus(BYTES, size) for size in (2**12, 40_000, 2**18, 2**21)),
        Case(VIEW, CALL, lambda: matrix.reshape(2, 8)),
    ]
