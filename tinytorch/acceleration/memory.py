"""The memory plan: buffers that are never used together may lie at the same place of one arena."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinytorch.errors import ProgramError

ALIGNMENT = 64
"""Bytes: a line of the cache."""


class Life(NamedTuple):
    """A buffer: its size in bytes, and the first and the last step that uses it."""

    nbytes: int
    first: int
    last: int


def plan_memory(lives: Sequence[Life]) -> tuple[list[int], int]:
    """The plan of `place_buffers`, looked over: a program writes where it says, unchecked.

    Raises ProgramError for a plan in which a buffer is missing, begins off a multiple of `ALIGNMENT`, sticks
    out of the arena, or shares bytes with one that is used at the same step.

    >>> plan_memory([Life(64, 0, 1), Life(64, 1, 2), Life(64, 2, 3)])
    ([0, 64, 0], 128)
    """
    offsets, total = place_buffers(lives)
    wrong = _mistake(lives, offsets, total)
    if wrong:
        raise ProgramError(f"memory plan: {wrong}. The cure lies in place_buffers, best_gap or overlap.")
    return offsets, total


def _mistake(lives: Sequence[Life], offsets: Sequence[int], total: int) -> str:
    """What is wrong with a plan, in words; "" if nothing is."""
    if len(offsets) != len(lives):
        return f"{len(offsets)} offsets for {len(lives)} buffers"
    sizes, first, last = np.array(lives, np.int64).reshape(-1, 3).T
    begin = np.array(offsets, np.int64)
    end = begin + sizes
    off = np.flatnonzero((begin < 0) | (begin % ALIGNMENT != 0) | (end > total))
    if len(off):
        i = off[0]
        return f"buffer {i} of {sizes[i]} bytes lies at {begin[i]} in an arena of {total} bytes"
    together = (first[:, None] <= last) & (first <= last[:, None])
    shared = together & (begin[:, None] < end) & (begin < end[:, None]) & (sizes[:, None] > 0) & (sizes > 0)
    np.fill_diagonal(shared, val=False)
    if shared.any():
        i, j = np.argwhere(shared)[0]
        step = max(first[i], first[j])
        return (
            f"at step {step} buffers {i} and {j} share bytes: {sizes[i]} at {begin[i]}, "
            f"and {sizes[j]} at {begin[j]}"
        )
    return ""


def place_buffers(lives: Sequence[Life]) -> tuple[list[int], int]:
    """An offset for each buffer, and the bytes of the arena: buffers used at the same step never overlap.

    Two buffers are used together if their lives `overlap`. The largest buffer is placed first, of equal ones
    that with the earlier first step. Each takes `rounded` as many bytes, so that offsets are multiples of
    `ALIGNMENT`, and goes into the `best_gap` between those placed already that are used together with it:
    the others do not matter. The arena ends where the last block does; offsets stand in the order of `lives`.

    >>> place_buffers([Life(64, 0, 1), Life(64, 1, 2), Life(100, 2, 3)])
    ([0, 128, 0], 192)
    """
    offsets = [0] * len(lives)
    placed: list[int] = []
    total = 0
    for number in sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first)):
        size = rounded(lives[number].nbytes)
        taken = sorted(
            (offsets[i], offsets[i] + rounded(lives[i].nbytes))
            for i in placed
            if overlap(lives[i], lives[number])
        )
        offsets[number] = best_gap(taken, size)
        placed.append(number)
        total = max(total, offsets[number] + size)
    return offsets, total


def overlap(a: Life, b: Life) -> bool:
    """Whether a step lies in both lives; the first and the last step of a life belong to it.

    >>> overlap(Life(64, 0, 2), Life(64, 2, 5)), overlap(Life(64, 0, 2), Life(64, 3, 5))
    (True, False)
    """
    return a.first <= b.last and b.first <= a.last


def best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Where the smallest gap of at least `size` bytes begins: in front of, or between, blocks that are taken.

    `taken`: where each block begins and ends (the byte behind its last), sorted by begin; blocks may lie
    over each other, even one within another, since those that are never used together share bytes. A gap
    begins at 0 or where all blocks before it have ended, and reaches to the next begin. Of gaps of one size
    the first is meant; where none is large enough, the place is behind all blocks.

    >>> best_gap([(0, 64), (192, 256), (320, 384)], 64)
    256
    >>> best_gap([(0, 256), (64, 128)], 64)
    256
    """
    best, smallest, end = -1, 0, 0
    for begin, after in taken:
        gap = begin - end
        if gap >= size and (best < 0 or gap < smallest):
            best, smallest = end, gap
        end = max(end, after)
    return end if best < 0 else best


def rounded(nbytes: int) -> int:
    """The size with its end at a multiple of `ALIGNMENT`.

    >>> rounded(65)
    128
    """
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
