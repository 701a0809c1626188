"""The three ladders: what each computes, on which inputs, and its rungs, one idea each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinytorch.acceleration.compiling import compiled
from tinytorch.acceleration.ladder import convolution, matmul, softmax
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.softmax import COST
from tinytorch.ops.spec import Array, float64
from tinytorch.ops.window import frame

Inputs: TypeAlias = tuple[Array, ...]
Call: TypeAlias = Callable[[], Any]
CHANNELS, FILTERS, KERNEL, PADDING = 16, 32, 3, 1
"""Of the convolution: a layer as small networks have it."""


@dataclass(frozen=True)
class Rung:
    """One way to compute it: `prepare` takes the inputs, and what it returns is called and timed.

    `lesson`: what it changes against the rung below. `in_python`: each number is a step of the interpreter.
    """

    name: str
    lesson: str
    prepare: Callable[..., Call]
    in_python: bool = False
    needs_numba: bool = False
    all_cores: bool = False


@dataclass(frozen=True)
class Kind:
    """A ladder. `sizes`: the usual and the largest; `trial`: one at which even a loop in Python is quick.

    `flops(size)`: work of a call, a multiply-add as 2. `reference`: the result in float64, by other code than
    that of the rungs. `plain`: the rung that is plain NumPy.
    """

    name: str
    title: Callable[[int], str]
    sizes: tuple[int, int]
    trial: int
    inputs: Callable[[int], Inputs]
    reference: Callable[..., Array]
    flops: Callable[[int], int]
    plain: str
    rungs: tuple[Rung, ...]


def _random(*shapes: tuple[int, ...]) -> Inputs:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


# ---------------------------------------------------------------- matmul


def _listed(function: Callable[..., Any], *rest: int) -> Callable[..., Call]:
    """A rung over plain lists: numbers of NumPy would be slower still, and flatter all rungs above."""

    def prepare(*arrays: Array) -> Call:
        lists = [array.tolist() for array in arrays]
        return lambda: function(*lists, *rest)

    return prepare


def _called(function: Callable[..., Any], *rest: int) -> Callable[..., Call]:
    return lambda *arrays: lambda: function(*arrays, *rest)


def _compiled_matmul(a: Array, b: Array) -> Call:
    kernel = compiled(matmul.multiply)

    def call() -> Array:
        out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        kernel(a, b, out)
        return out

    return call


def _tiled_matmul(a: Array, b: Array) -> Call:
    from tinytorch.acceleration.ladder import tiles  # imports numba

    return lambda: tiles.matmul(a, b)


def _matmul_reference(a: Array, b: Array) -> Array:
    out: Array = a.astype(float64) @ b.astype(float64)
    return out


MATMUL = Kind(
    "matmul",
    lambda n: f"Matrix product: ({n}, {n}) @ ({n}, {n}), float32",
    sizes=(256, 4096),
    trial=32,
    inputs=lambda n: _random((n, n), (n, n)),
    reference=_matmul_reference,
    flops=lambda n: 2 * n**3,
    plain="numpy",
    rungs=(
        Rung("loops", "three loops over lists: a sum for each number", _listed(matmul.loops), in_python=True),
        Rung(
            "reordered",
            "the loops as i, k, j: rows are read as they lie in memory",
            _listed(matmul.reordered),
            in_python=True,
        ),
        Rung(
            "blocked",
            f"tiles of {matmul.TILE} x {matmul.TILE}: NumPy multiplies two, so that Python "
            "takes a step a tile, not a number; within a tile it is BLAS that works",
            _called(matmul.blocked),
        ),
        Rung("numpy", "one call: BLAS chooses its own tiles; one thread", _called(np.matmul)),
        Rung(
            "numba",
            "the loops of `reordered`, compiled: several numbers an instruction, sums in memory",
            _compiled_matmul,
            needs_numba=True,
        ),
        Rung(
            "register tiles",
            "numba, tiles of sums in registers, factors packed for the caches: what BLAS does",
            _tiled_matmul,
            needs_numba=True,
        ),
        Rung("all cores", "one call of BLAS, on all cores", _called(np.matmul), all_cores=True),
    ),
)


# ---------------------------------------------------------------- convolution


def _direct(x: Array, w: Array) -> Call:
    kernel = compiled(convolution.direct)

    def call() -> Array:
        framed = frame(x[None], (PADDING, PADDING), 0.0)[0]
        out = np.zeros((len(w), *x.shape[1:]), x.dtype)
        kernel(framed, w, out)
        return out

    return call


def _tiled_convolution(x: Array, w: Array) -> Call:
    from tinytorch.acceleration.ladder import tiles

    return lambda: tiles.convolve(x, w, PADDING)


def _convolution_reference(x: Array, w: Array) -> Array:
    out: Array = Conv2d(padding=(PADDING, PADDING)).forward(x[None].astype(float64), w.astype(float64))[0]
    return out


CONVOLUTION = Kind(
    "conv",
    lambda n: (
        f"Convolution: an image ({CHANNELS}, {n}, {n}), {FILTERS} filters of {KERNEL} x {KERNEL}, "
        f"padding {PADDING}, float32"
    ),
    sizes=(32, 512),
    trial=4,
    inputs=lambda n: _random((CHANNELS, n, n), (FILTERS, CHANNELS, KERNEL, KERNEL)),
    reference=_convolution_reference,
    flops=lambda n: 2 * FILTERS * n * n * CHANNELS * KERNEL * KERNEL,
    plain="im2col",
    rungs=(
        Rung(
            "loops",
            "six loops over lists: a sum for each number",
            _listed(convolution.loops, PADDING),
            in_python=True,
        ),
        Rung(
            "im2col",
            "plain NumPy: windows written down as columns, then one matrix product; one thread",
            _called(convolution.multiplied, PADDING),
        ),
        Rung(
            "direct",
            "numba: the loops, compiled, several pixels an instruction; no columns, sums in memory",
            _direct,
            needs_numba=True,
        ),
        Rung(
            "direct tiles",
            "numba: tiles of 6 pixels by 2 vectors of filters in registers, no columns",
            _tiled_convolution,
            needs_numba=True,
        ),
    ),
)


# ---------------------------------------------------------------- softmax


def _in_place(kernel: Callable[[Array, Array], None]) -> Callable[[Array], Call]:
    def prepare(x: Array) -> Call:
        function, out = compiled(kernel), np.empty_like(x)

        def call() -> Array:
            function(x, out)
            return out

        return call

    return prepare


def _softmax_reference(x: Array) -> Array:
    powers = x.astype(float64)
    powers -= powers.max(1, keepdims=True)
    np.exp(powers, out=powers)
    powers /= powers.sum(1, keepdims=True)
    return powers


SOFTMAX = Kind(
    "softmax",
    lambda n: f"Softmax of each row of a ({n}, {n}) matrix, float32, {COST} FLOPs an element",
    sizes=(4096, 8192),
    trial=16,
    inputs=lambda n: _random((n, n)),
    reference=_softmax_reference,
    flops=lambda n: COST * n * n,
    plain="numpy",
    rungs=(
        Rung(
            "numpy",
            "plain NumPy: a pass over the matrix and new memory for each step",
            _called(softmax.whole),
        ),
        Rung(
            "three passes",
            "numba: maxima, powers and sums, shares; the matrix goes by three times",
            _in_place(softmax.three_passes),
            needs_numba=True,
        ),
        Rung(
            "fused",
            "numba: the same row by row: the second and third time a row is in the cache",
            _in_place(softmax.fused),
            needs_numba=True,
        ),
        Rung(
            "online",
            "numba: maximum and sum in one pass, for rows that no cache holds; each power is taken twice",
            _in_place(softmax.online),
            needs_numba=True,
        ),
    ),
)

KINDS = {kind.name: kind for kind in (MATMUL, CONVOLUTION, SOFTMAX)}
