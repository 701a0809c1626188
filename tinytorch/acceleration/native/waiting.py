"""A line for who waits: what takes longer than a second says what it is, and at its end how long it took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from tinytorch import console

PATIENCE = 1.0
"""Seconds without a word."""


@contextlib.contextmanager
def told(doing: str, done: str, patience: float = PATIENCE) -> Iterator[None]:
    """Write `doing` as a notice once `patience` seconds are over, and then `done` with the time when it ends.

    A thread of its own looks at the clock: LLVM, once called, gives no sign before it is through.

    >>> with told("compiling", "compiled"):
    ...     pass  # over before anybody wonders
    """
    begun = time.perf_counter()
    over, said = threading.Event(), threading.Event()

    def watch() -> None:
        if not over.wait(patience):
            said.set()
            console.notice(f"{doing} ...")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    if said.is_set():
        console.notice(f"{done} in {time.perf_counter() - begun:.1f} s")
