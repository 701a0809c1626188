"""Ranges: which part of what was seen gets codes of its own, and what lies beyond is cut off.

A wider range has coarser steps, a narrower one cuts off more. Each function takes the values that calibration
kept, and the lowest and highest it saw, and gives the range: (low, high).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from tinytorch.ops.quantize import TINY
from tinytorch.ops.spec import Array
from tinytorch.quantization.grid import affine_grid, numbers_of

PERCENT = 99.99
"""Of the values that `percentile_range` keeps."""
BINS, LEVELS, NEARLY = 2048, 128, 0.999
"""Of a histogram, and codes above 0; the share of the values that is nearly all."""

Range = tuple[float, float]


def minmax_range(values: Array, low: float, high: float) -> Range:
    """All that was seen: nothing is cut off, and one outlier makes the steps of all others coarse."""
    return low, high


def percentile_range(values: Array, low: float, high: float, percent: float = PERCENT) -> Range:
    """The range that holds the middle `percent` of the values, half of the rest cut off at either side.

    Values are interpolated between, as np.percentile does. low and high have no say in it.

    >>> percentile_range(np.arange(101.0), 0.0, 100.0, percent=90.0)
    (5.0, 95.0)
    """
    rest = (100 - percent) / 2
    below, above = np.percentile(values, [rest, 100 - rest])
    return float(below), float(above)


def mse_range(values: Array, low: float, high: float, steps: int = 80) -> Range:
    """Of the shares 1/steps, 2/steps, ... 1 of low .. high the one whose int8 codes lose least of the values.

    Both ends are multiplied by the share. The loss is the mean of (value - what its code stands for) ** 2 on
    the grid `affine_grid(low, high)`; of equal losses the wider range is taken.

    >>> low, high = mse_range(np.append(np.linspace(-1, 1, 10_000), 1000.0), -1.0, 1000.0)
    >>> high
    1000.0
    """
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share)
        codes = np.clip(np.rint(values / scale) + zero, -128, 127)
        loss = float(np.mean(np.square(values - numbers_of(codes, scale, zero))))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best


def entropy_range(values: Array, low: float, high: float) -> Range:
    """The range whose codes tell most of how the |values| are distributed: least Kullback-Leibler divergence.

    A histogram of |values| is cut at each of its bins from LEVELS on, what lies beyond counted to the last,
    and compared with itself in LEVELS steps. Szymon Migacz, "8-bit inference with TensorRT", 2017. Zeros,
    for which every range has a code, do not count. While the first LEVELS bins hold nearly all values, which
    then look alike, the histogram begins anew within them.

    >>> low, high = entropy_range(np.append(np.linspace(-1, 1, 10_000), 1e6), -1.0, 1e6)
    >>> high < 4
    True
    """
    sizes, cut = np.abs(values[values != 0]), max(abs(low), abs(high))
    while cut >= TINY and sizes.size:
        counts, edges = np.histogram(sizes, BINS, (0, cut))
        narrow = float(edges[LEVELS])
        if counts[:LEVELS].sum() < NEARLY * sizes.size:
            beyond = sizes.size - int(counts.sum())
            ends = range(LEVELS, BINS + 1, 8)
            cut = float(edges[min(ends, key=lambda end: _divergence(counts, end, beyond))])
            return max(low, -cut), min(high, cut)
        cut = narrow
    return low, high


def _divergence(counts: Array, end: int, beyond: int) -> float:
    """Of a histogram cut off at `end`, with more `beyond` all of it, from the same in LEVELS steps."""
    inside = counts[:end].astype(np.float64)
    whole = inside.copy()
    whole[-1] += counts[end:].sum() + beyond
    number = np.minimum(np.arange(end) * LEVELS // end, LEVELS - 1)
    sums = np.bincount(number, inside, LEVELS)
    filled = np.bincount(number, inside > 0, LEVELS)
    coarse = np.where(inside > 0, (sums / np.maximum(filled, 1))[number], 0.0)
    p, q = whole / whole.sum(), coarse / max(coarse.sum(), 1.0)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum())


RANGES: Mapping[str, Callable[[Array, float, float], Range]] = MappingProxyType(
    {"minmax": minmax_range, "percentile": percentile_range, "mse": mse_range, "entropy": entropy_range}
)
"""The ways to find a range, by name."""
