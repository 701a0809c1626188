"""Where the memory that is live at the peak was allocated: one pass finds the moment, a second looks."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinytorch import errors
from tinytorch.profiling.memory.meter import NS, Meter, Timeline
from tinytorch.profiling.profile import MemoryPoint, MemorySite

FRAMES = 12
"""Frames that tracemalloc notes of each block in these passes, the innermost first."""
EVENTS = 3_000_000
"""After so many lines the passes stop looking: a peak that comes later is not found."""
MOST_SITES = 50
_TOLERANCE = 0.005
_PACKAGE = Path(errors.__file__).parent
_ANNOUNCED = str(_PACKAGE / "ops" / "allocations.py")
_OURS = tuple(map(str, Path(__file__).parent.glob("*.py")))
_BELOW = (
    str(_PACKAGE / "ops"),
    str(_PACKAGE / "tensor.py"),
    str(_PACKAGE / "autograd.py"),
    str(_PACKAGE / "nn" / "module.py"),
    str(_PACKAGE / "nn" / "functional.py"),
    str(Path(np.__file__).parent),
    "<",
)


class PeakFinder:
    """A trace function (`sys.settrace`) that finds during which line traced memory was highest.

    Traced bytes are read as each line begins, and as functions are entered and left, so the peak is known
    to lie in one line. `timeline` has a point for each of these moments, under the function's name.
    """

    def __init__(self) -> None:
        self._meter = Meter()
        self._timeline = Timeline()
        self._began = self._start = 0
        self._code: CodeType | None = None
        self._line, self._event, self._level = 0, "", 0
        self.events = 0
        self.is_whole = False
        """Whether the call was traced to its end: it was not too long, and set no trace function itself."""
        self.peak = 0
        self.code: CodeType | None = None
        """What began at the moment before the peak: a line of this code, or an event of it."""
        self.line, self.event, self.index = 0, "", 0
        self.before = self.after = 0
        """Live bytes, over the start, as the line of the peak began and as it was over."""

    def run(self, call: Callable[[], Any]) -> Any:
        """Trace one call, whose result comes back."""
        self._began = time.perf_counter_ns()
        self._meter.look()
        self._meter.leave()
        self._meter.look()
        self._start = self._level = self._meter.now
        self._timeline.add(0.0, self._start, "")
        self._meter.leave()
        before = sys.gettrace()
        sys.settrace(self)
        try:
            result = call()
            self.is_whole = sys.gettrace() is self
        finally:
            sys.settrace(before)
        if self.is_whole:
            self._meter.look()
            self._note()
        return result

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """One event of the interpreter."""
        self._meter.look()
        self._follow(frame, event)  # a call, so that its locals are gone on leaving
        self._meter.leave()
        return self if self.events < EVENTS else None

    def _follow(self, frame: FrameType, event: str) -> None:
        self._note()
        code = frame.f_code
        self._code, self._line, self._event = code, frame.f_lineno, event
        self._timeline.add((time.perf_counter_ns() - self._began) * NS, self._meter.peak, code.co_qualname)
        self.events += 1
        if self.events >= EVENTS:
            sys.settrace(None)
            frame.f_trace = None

    def _note(self) -> None:
        """File the stretch between two events."""
        now, peak = self._meter.now, self._meter.peak
        if peak - self._start > self.peak:
            self.peak = peak - self._start
            self.code, self.line, self.event = self._code, self._line, self._event
            self.index = self.events
            self.before, self.after = self._level - self._start, now - self._start
        self._level = now

    def timeline(self) -> tuple[MemoryPoint, ...]:
        """The moments, thinned; the bytes are those of the stretch that ends there, at its highest."""
        return self._timeline.thinned()


class PeakViewer:
    """A trace function that takes a snapshot where another pass found the peak.

    The snapshot is taken as the line of the peak begins or, if more is live then, as it is over. What only
    lived in between is put down to that line. The line may come `slack` events sooner than in the other pass,
    and any number later. `is_right`: as much was live in the snapshot, within 5 % of the peak.
    """

    def __init__(self, found: PeakFinder, slack: int = 0) -> None:
        self._found = found
        self._events = slack
        self.is_right = False
        self._start = 0
        self._is_next = False
        self._where: tuple[str, int] | None = None
        self.snapshot: tracemalloc.Snapshot | None = None

    def run(self, call: Callable[[], Any]) -> Any:
        """Trace one call, whose result comes back."""
        self._start = tracemalloc.get_traced_memory()[0]
        before = sys.gettrace()
        sys.settrace(self)
        try:
            result = call()
        finally:
            sys.settrace(before)
        if self._is_next and self.snapshot is None:
            self._look()
        return result

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """One event of the interpreter; tracing ends with the snapshot."""
        if self.snapshot is not None:
            return None
        if self._is_next:
            return self._take(frame)
        found = self._found
        self._events += 1
        here = frame.f_code is found.code and frame.f_lineno == found.line and event == found.event
        if not here or self._events < found.index:
            return self
        live = tracemalloc.get_traced_memory()[0] - self._start
        if live < found.before - _TOLERANCE * found.peak - 2048:
            return self
        running = frame.f_back if event == "return" and frame.f_back is not None else frame
        self._where = _place([(f.f_code.co_filename, f.f_lineno) for f in _upwards(running)])
        if found.after > found.before:
            self._is_next = True
            return self
        return self._take(frame)

    def _take(self, frame: FrameType) -> None:
        sys.settrace(None)
        frame.f_trace = None
        self._look()

    def _look(self) -> None:
        found = self._found
        live = tracemalloc.get_traced_memory()[0] - self._start
        self.is_right = abs(live - max(found.before, found.after)) <= 0.05 * found.peak + 2048
        self.snapshot = tracemalloc.take_snapshot()

    def sites(self) -> tuple[MemorySite, ...]:
        """Sites of what was live at the peak, the largest first; nothing where the moment did not recur."""
        if self.snapshot is None or not self.is_right:
            return ()
        sizes: defaultdict[tuple[str, int], int] = defaultdict(int)
        blocks: defaultdict[tuple[str, int], int] = defaultdict(int)
        for trace in self.snapshot.traces:
            frames = [(frame.filename, frame.lineno) for frame in reversed(trace.traceback)]
            while len(frames) > 1 and frames[0][0] == _ANNOUNCED:
                frames.pop(0)
            if frames[0][0] in (*_OURS, tracemalloc.__file__):
                continue
            place = _place(frames)
            sizes[place] += trace.size
            blocks[place] += 1
        passing = self._found.peak - max(self._found.before, self._found.after)
        if self._where is not None and passing > 0:
            sizes[self._where] += passing
            blocks[self._where] += 1
        ranked = sorted(sizes, key=lambda place: (-sizes[place], place))[:MOST_SITES]
        return tuple(MemorySite(*place, sizes[place], blocks[place]) for place in ranked)


def _upwards(frame: FrameType | None) -> list[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def _place(frames: list[tuple[str, int]]) -> tuple[str, int]:
    """The innermost of these lines that is neither in NumPy nor in what all of TinyTorch goes through."""
    for file, line in frames:
        if not file.startswith(_BELOW):
            return file, line
    return frames[0]
