"""Layout: what a reshape makes of axes, and which channel each entry belongs to once axes are flattened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinytorch.ops.spec import Array, Shape


def flattened(channels: Array, sizes: Sequence[int], axis: int) -> Array:
    """The channel of each feature once axes of these sizes are made into one; int (product of sizes,).

    channels: (sizes[axis],), those along one of the axes. Features are in row-major order, the last axis
    fastest: after the first axis of (channels, height, width), each channel is a run of height * width
    features.

    >>> flattened(np.array([7, 8]), (2, 1, 3), axis=0)
    array([7, 7, 7, 8, 8, 8])
    >>> flattened(np.array([7, 8]), (3, 2), axis=1)
    array([7, 8, 7, 8, 7, 8])
    """
    beside = [1] * len(sizes)
    beside[axis] = sizes[axis]
    return np.broadcast_to(channels.reshape(beside), sizes).reshape(-1)


def lies_along(channels: Array) -> int | None:
    """The axis along which alone an array of channels differs, the first where several would do, or None.

    It finds the axis back that was flattened.

    >>> lies_along(np.array([[7, 7], [8, 8]])), lies_along(np.array([[7, 8], [9, 10]]))
    (0, None)
    """
    for axis in range(channels.ndim):
        first = channels[tuple(slice(None) if i == axis else slice(1) for i in range(channels.ndim))]
        if np.array_equal(np.broadcast_to(first, channels.shape), channels):
            return axis
    return None


def blocks(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Which axes a reshape makes of which: the least runs of both with equal products; no axes of size 1.

    >>> blocks((2, 3, 4), (2, 1, 12)), blocks((8, 6), (8, 2, 3))
    ([([0], [0]), ([1, 2], [2])], [([0], [0]), ([1], [1, 2])])
    """
    ins, outs = ([i for i, size in enumerate(s) if size != 1] for s in (before, after))
    if 0 in before:
        return [(ins, outs)]
    found = []
    while ins and outs:
        left, right = [ins.pop(0)], [outs.pop(0)]
        a, b = before[left[0]], after[right[0]]
        while a != b:
            if a < b:
                left.append(ins.pop(0))
                a *= before[left[-1]]
            else:
                right.append(outs.pop(0))
                b *= after[right[-1]]
        found.append((left, right))
    return found
