"""Reading tracemalloc without being counted oneself, a timeline of bounded length, and the resident size."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinytorch.errors import ProfilingError
from tinytorch.profiling.profile import MemoryPoint

NS = 1e-9
POINTS = 2_000
"""The most points of a timeline that is handed out; up to four times as many are held while it grows."""
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Meter:
    """Live bytes and the peak since the last look, less what the looking itself allocated.

    What the watcher keeps between `look` and `leave` is its own, and taken off from then on. `now`: traced
    bytes at the last look; `peak`: the most up to it since `leave` was called before.
    """

    __slots__ = ("_entered", "now", "own", "peak")

    def __init__(self) -> None:
        self.own = self.now = self.peak = self._entered = 0

    def look(self) -> None:
        """Read both figures; nothing is returned, since what a caller holds would count as its own."""
        self._entered, self.peak = tracemalloc.get_traced_memory()
        self.now = self._entered - self.own
        self.peak -= self.own

    def leave(self) -> None:
        """The watcher goes; a new peak is looked for from here on."""
        self.own += tracemalloc.get_traced_memory()[0] - self._entered
        tracemalloc.reset_peak()


class Timeline:
    """Moments with the bytes that were live; of neighbours the higher one stays where there are too many.

    Its memory is taken at once, so that what it notes does not come out of the pools of the watched function.
    """

    def __init__(self, points: int = POINTS) -> None:
        self._most = max(points, 3)
        self._seconds = array("d", bytes(8 * 4 * self._most))
        self._live = array("q", bytes(8 * 4 * self._most))
        self._path = array("q", bytes(8 * 4 * self._most))
        self._paths: dict[str, int] = {}
        self._used = 0
        self._stride = 1
        self._waiting = 0

    def add(self, seconds: float, live: int, path: str) -> None:
        """Note a moment; times do not go back."""
        if not self._waiting:
            if self._used == len(self._live):
                self._halve()
            self._used += 1
            self._put(self._used - 1, seconds, live, path)
        elif live > self._live[self._used - 1]:
            self._put(self._used - 1, seconds, live, path)
        self._waiting = (self._waiting + 1) % self._stride

    def _put(self, at: int, seconds: float, live: int, path: str) -> None:
        self._seconds[at] = seconds
        self._live[at] = live
        self._path[at] = self._paths.setdefault(path, len(self._paths))

    def _halve(self) -> None:
        """Keep the first point and, of each pair after it, the higher one."""
        put = 1
        for at in range(1, self._used, 2):
            best = at + 1 if at + 1 < self._used and self._live[at + 1] > self._live[at] else at
            self._seconds[put] = self._seconds[best]
            self._live[put], self._path[put] = self._live[best], self._path[best]
            put += 1
        self._used = put
        self._stride *= 2

    def thinned(self) -> tuple[MemoryPoint, ...]:
        """The moments in order, the first among them, and the highest."""
        kept = list(range(self._used))
        if len(kept) > self._most:
            size = -(-len(kept) // (self._most - 1))
            rest = kept[1:]
            groups = (rest[at : at + size] for at in range(0, len(rest), size))
            kept = [0, *(max(group, key=self._live.__getitem__) for group in groups)]
        names = list(self._paths)
        return tuple(MemoryPoint(self._seconds[i], self._live[i], names[self._path[i]]) for i in kept)


def settle() -> None:
    """Collect garbage, and empty Python's caches of attributes and free objects, which hold on to some."""
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()
    gc.collect()


# ---------------------------------------------------------------- the process as a whole


def resident(call: Callable[[], Any]) -> tuple[int | None, int | None]:
    """Bytes of the process in RAM before a call, and the most during it; its result is dropped.

    Linux: VmRSS, and VmHWM, which is set back before the call (the kernel lets a process write 5 to its
    clear_refs, and has no way to restore the earlier mark). Where that is refused, and on other systems
    with `getrusage`, the peak is known only if it was higher than ever before; None stands for unknown.
    """
    before = _sizes()
    if before is None:
        earlier = _high_water()
        call()
        later = _high_water()
        return None, later if later is not None and earlier is not None and later > earlier else None
    is_reset = _reset_high_water()
    call()
    after = _sizes()
    assert after is not None, "what /proc/self/status said once it says again"
    known = is_reset or after[1] > before[1]
    return before[0], max(after[1], before[0]) if known else None


def resident_size() -> int | None:
    """Bytes of this process in RAM now; None where the system does not say so.

    >>> resident_size() is None or resident_size() > 2**20
    True
    """
    sizes = _sizes()
    return None if sizes is None else sizes[0]


def _sizes() -> tuple[int, int] | None:
    """Resident size now, and its highest so far, in bytes; None where the system does not say so."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS:", "VmHWM:")))
    if len(found) < 2:
        return None
    now, most = (int(found[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    return now, most


def _reset_high_water() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _high_water() -> int | None:
    """The largest resident size so far, in bytes, as getrusage tells."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def require_tracing(name: str) -> None:
    """Raise ProfilingError if tracemalloc no longer runs: the function must have stopped it."""
    if not tracemalloc.is_tracing():
        raise ProfilingError(
            f"memory of {name}: the function called tracemalloc.stop(), by which its memory is measured. "
            "Take that call out, or profile what lies inside of it."
        )
