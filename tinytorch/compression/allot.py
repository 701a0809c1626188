"""allot: how sparse each layer should be, so that the file comes to a size and the least is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tinytorch.compression.analyze import Redundancy
from tinytorch.ops.spec import Array

GRID = 60
"""Densities that are tried for each layer, equal ratios apart, from all weights down to LEAST of them."""
LEAST = 0.003


def coded_bits(density: float, bits: float) -> float:
    """Bits a weight in a file: Shannon's entropy of which weights stay, and `bits` for each that does.

    >>> round(coded_bits(0.5, 4.0), 2), round(coded_bits(0.05, 4.0), 2)
    (3.0, 0.49)
    """
    if not 0 < density < 1:
        return density * bits
    rest = 1 - density
    return -density * math.log2(density) - rest * math.log2(rest) + density * bits


def allot(layers: Sequence[Redundancy], most: float, bits: float = 4.0) -> dict[str, float]:
    """The sparsity of each layer, by path, at which all weights together take at most `most` bytes.

    Each layer gets the density at which what it costs (by its measured curve, straight lines in the logarithm
    of the density between points) plus a price for its bytes is least; the price, one for all layers, is as
    low as the size allows. So the last byte that is saved costs as much in each of them. A layer that should
    not be pruned is left out. Where even the least densities take more, they are what it gives.
    """
    densities = np.exp(np.linspace(0.0, math.log(LEAST), GRID))
    tables = {layer.path: _table(layer, densities, bits) for layer in layers}
    low, high = 0.0, 1e9
    for _ in range(80):
        price = math.sqrt(low * high) if low else high * 1e-6 if high > 1e-12 else high / 2
        if _bytes(tables, price) > most:
            low = price
        else:
            high = price
        if low and high / low < 1.001:
            break
    picked = {path: _best(costs, sizes, high) for path, (costs, sizes) in tables.items()}
    _fill(tables, picked, most)
    return {path: 1 - float(densities[at]) for path, at in picked.items() if at}


def _fill(tables: Mapping[str, tuple[Array, Array]], picked: dict[str, int], most: float) -> None:
    """Spend the bytes that are left, where they gain most: one price alone leaves jumps between densities."""
    left = most - sum(float(tables[path][1][at]) for path, at in picked.items())
    while True:
        steps = []
        for path, at in picked.items():
            costs, sizes = tables[path]
            more = float(sizes[at - 1] - sizes[at]) if at else np.inf
            if more <= left:
                steps.append((float(costs[at] - costs[at - 1]) / more, more, path))
        if not steps:
            return
        _, more, path = max(steps)
        picked[path] -= 1
        left -= more


def _table(layer: Redundancy, densities: Array, bits: float) -> tuple[Array, Array]:
    """What a layer costs, and its bytes, at each density; costs never fall as weights go."""
    points = sorted((1 - p.sparsity, p.cost) for p in layer.curve)
    logs = np.log([d for d, _ in points] + [1.0])
    costs = [*np.maximum.accumulate([c for _, c in reversed(points)])[::-1], 0.0]
    found = np.interp(np.log(densities), logs, np.maximum(costs, 0.0))
    beyond = np.log(densities) < logs[0]
    slope = (costs[0] - costs[1]) / (logs[0] - logs[1]) if len(logs) > 1 else 0.0
    found[beyond] += slope * (np.log(densities[beyond]) - logs[0])
    found[densities * layer.weights < 1] = np.inf  # no layer may lose all
    sizes = np.array([layer.weights * coded_bits(float(d), bits) / 8 for d in densities])
    return found, sizes


def _best(costs: Array, sizes: Array, price: float) -> int:
    return int(np.argmin(costs + price * sizes))


def _bytes(tables: Mapping[str, tuple[Array, Array]], price: float) -> float:
    return sum(float(sizes[_best(costs, sizes, price)]) for costs, sizes in tables.values())
