"""Whether memory is steady, grows or spikes, judged from what was live after each of several calls."""

from __future__ import annotations

import numpy as np

from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import Estimate, slope

CLEAR_BYTES = 4096
"""Growth that is plain after three calls if each adds this much or more."""
LEAST_BYTES = 4
"""Less than half a pointer a call is no leak: not even a list to which None is appended grows so slowly."""
LONG = 64
"""Calls by which slower growth is told from the small caches of Python and NumPy, which fill over some 20."""
SPIKE = 2.0
SPIKE_BYTES = 64 * 1024
SPIKE_SHARE = 0.1


def trend(levels: Array) -> Estimate:
    """The slope in bytes a call of what is live before the first call and after each, with its interval.

    >>> trend(np.array([100, 200, 300, 400]))
    Estimate(value=100.0, low=100.0, high=100.0)
    """
    return slope(levels) if np.ptp(levels) else Estimate(0.0, 0.0, 0.0)


def grows(levels: Array) -> bool | None:
    """Whether what stays grows; None where it takes more calls to tell.

    It does if the slope's interval lies above 0, both halves of the series rose, and either each of three
    calls or more left `CLEAR_BYTES` or more, or over `LONG` calls the later half left half as much as the
    earlier or more: a list that leaks takes memory only now and then, and a cache that fills stops. It does
    not if nothing was left in all, or less than `LEAST_BYTES` a call after the fourth of sixteen or more.

    >>> grows(np.array([0, 8000, 16000, 24000])), grows(np.array([0, 100, 200, 300])), grows(np.zeros(6))
    (True, None, False)
    """
    steps = np.diff(levels)
    if steps.sum() <= 0 or (len(steps) >= 16 and steps[4:].mean() < LEAST_BYTES):
        return False
    if len(steps) >= 3 and steps.min() >= CLEAR_BYTES and _rises(levels):
        return True
    if len(steps) < LONG:
        return None
    early, late = np.split(steps, [len(steps) // 2])
    return bool(late.sum() >= early.sum() / 2) and _rises(levels)


def pattern_of(levels: Array, need: int, held: int) -> str:
    """The pattern in a word: "growing", "spiky", "steady".

    `levels`: live before the first call and after each; `need`: bytes over that at the peak of the call that
    needs most; `held`: as that call ends, its result included. It grows where `grows(levels)` is True; a
    series too short to tell (None) is not said to. Else it is spiky if it needs twice what it holds or more,
    and 64 KiB or more, and a tenth of the first level or more; and otherwise steady.

    >>> pattern_of(np.zeros(6), need=1_000_000, held=200_000), pattern_of(np.zeros(6), 1_000_000, 800_000)
    ('spiky', 'steady')
    """
    if grows(levels):
        return "growing"
    floor = max(SPIKE_BYTES, SPIKE_SHARE * float(levels[0]))
    return "spiky" if need >= floor and need >= SPIKE * held else "steady"


def _rises(levels: Array) -> bool:
    """Whether the slope's interval lies above 0, and both halves of the series rose."""
    low, middle = slope(levels).low, levels[len(levels) // 2]
    return low is not None and low > 0 and bool(levels[0] < middle < levels[-1])
