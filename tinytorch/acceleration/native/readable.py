"""What kernels in Python call: functions whose own source goes into the text of a program that needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import exp, sqrt
from numpy.lib.stride_tricks import as_strided

from tinytorch.ops.spec import Array, Shape


def quantize(x: float, scale: float, zero: int = 0, *, low: int, high: int) -> float:
    """The code of a number: round(x / scale) + zero, within low .. high."""
    code = np.rint(x / scale) + zero
    return zero if np.isnan(code) else min(max(code, low), high)


def fake_quantize(x: float, scale: float, zero: int, *, low: int, high: int) -> float:
    """What is left of a number once it has been a code; NaN stays NaN."""
    return (np.clip(np.rint(x / scale) + zero, low, high) - zero) * scale  # type: ignore[no-any-return]


def frame(image: Array, size: Shape, origin: Shape, spacing: Shape) -> Array:
    """An image (channels, height, width) on zeros: first pixel at `origin`, the next `spacing` away."""
    channels, height, width = image.shape
    framed = np.zeros((channels, *size), image.dtype)
    for y in range(height):
        for x in range(width):
            row, column = origin[0] + y * spacing[0], origin[1] + x * spacing[1]
            if 0 <= row < size[0] and 0 <= column < size[1]:
                framed[:, row, column] = image[:, y, x]
    return framed


def winograd_patch(patch: Array) -> Any:
    """B^T d B for a patch d of 4x4 pixels: what filters are multiplied with (Lavin, Gray, 2016)."""
    b = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, -1]], patch.dtype)
    return b.T @ patch @ b


def winograd_outputs(m: list[list[float]]) -> list[tuple[tuple[int, int], float]]:
    """A^T m A for the products m of a patch: its 2x2 outputs, each with its row and column."""
    across = [(a + b + c, b - c - d) for a, b, c, d in m]
    first, second, third, fourth = across
    down = [
        [first[j] + second[j] + third[j] for j in range(2)],
        [second[j] - third[j] - fourth[j] for j in range(2)],
    ]
    return [((i, j), down[i][j]) for i in range(2) for j in range(2)]


def gelu(x: float) -> tuple[float, float]:
    """x * s and s = 1 / (1 + e ** -2u) with u = sqrt(2 / pi) * (x + 0.044715 * x ** 3)."""
    u = sqrt(2 / np.pi) * (x + 0.044715 * x * x * x)
    s = 1 / (1 + exp(-2 * u))
    return x * s, s


def gelu_grad(g: float, x: float, s: float) -> Any:
    """The gradient of x from that of gelu: g * (s + x * 2 * s * (1 - s) * du/dx)."""
    slope = sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)
    return g * s * (1 + 2 * x * (1 - s) * slope)


def sgd(
    rate: float,
    p: float,
    g: float,
    b: float | None = None,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> float | tuple[float, float]:
    """A parameter after a step of gradient g, and its buffer b where there is momentum."""
    d = g + weight_decay * p
    if b is None:
        return p - rate * d
    b = momentum * b + d
    return p - rate * (d + momentum * b if nesterov else b), b


def philox(key: int, counter: int) -> list[int]:
    """Four random words of 64 bits: ten rounds of Philox-4x64 (Salmon et al., 2011)."""
    words, keys = [counter % 2**64, 0, 0, 0], [key, 0]
    for _ in range(10):
        first, second = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [
            (second >> 64) ^ words[1] ^ keys[0],
            second % 2**64,
            (first >> 64) ^ words[3] ^ keys[1],
            first % 2**64,
        ]
        keys = [(keys[0] + 0x9E3779B97F4A7C15) % 2**64, (keys[1] + 0xBB67AE8584CAA73B) % 2**64]
    return words


def strided(memory: Array, shape: Shape, strides: Shape, offset: int) -> Array:
    """The array whose element (i, j, ...) is number offset + i * strides[0] + j * strides[1] + ..."""
    return as_strided(memory.reshape(-1)[offset:], shape, [step * memory.itemsize for step in strides])
