"""Our best product of two matrices beside the peak of the processor, measured in the same rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import tinytorch as tt
from benchmarks.compiled.ours import Compile
from benchmarks.interleave import calls_for, interleave
from tinytorch.errors import ProfilingError
from tinytorch.nn import Linear
from tinytorch.profiling.hardware import kernels, machine

SIZE = 1024
BLAS = "NumPy's BLAS"
TURNS = 200_000
"""Of the loop of multiply-adds that finds the peak."""


@dataclass
class Products:
    """FLOP/s at their best: multiply-adds in registers, and products of SIZE^3 by name."""

    peak: float
    rates: dict[str, float]

    @property
    def best(self) -> tuple[str, float]:
        """Our best product and its part of the peak; BLAS is not ours."""
        name = max((name for name in self.rates if name != BLAS), key=self.rates.__getitem__)
        return name, self.rates[name] / self.peak


def measure(compile_: Compile, rounds: int = 20) -> Products:
    """One thread: the best reading of each, as a peak is a best reading too.

    `a @ b` of two inputs, and a Linear layer, whose weight stays and may be packed once. Raises
    ProfilingError where llvmlite is missing, which compiles the loop that finds the peak.
    """
    if not machine.can_compile():
        raise ProfilingError("percent of peak: llvmlite is missing, so there is no measured peak")
    rng = np.random.default_rng(0)
    a, b = (rng.random((SIZE, SIZE), np.float32) for _ in range(2))
    out, given, other = np.empty_like(a), tt.Tensor(a), tt.Tensor(b)
    product, layer = compile_(lambda x, y: x @ y), compile_(Linear(SIZE, SIZE, bias=False))
    loops = [kernels.compiled(width) for width in kernels.widths()]
    arms = {
        "a @ b, compiled": lambda: product(given, other),
        "Linear, compiled": lambda: layer(given),
        BLAS: lambda: np.matmul(a, b, out=out),
    }
    peaks = {f"peak {i}": _peak(loop) for i, loop in enumerate(loops)}
    runs = {**arms, **peaks}
    with tt.no_grad():
        times = interleave(runs, rounds, {name: calls_for(run) for name, run in runs.items()}, lead=True)
    work = dict.fromkeys(arms, 2.0 * SIZE**3)
    work |= {f"peak {i}": 2.0 * loop.chains * loop.width * TURNS for i, loop in enumerate(loops)}
    rates = {name: work[name] / float(samples.min()) for name, samples in times.items()}
    return Products(max(rates[name] for name in peaks), {name: rates[name] for name in arms})


def _peak(loop: kernels.Kernels) -> Callable[[], object]:
    return lambda: loop.peak(TURNS, 0.999, 1e-3)
