"""Prefetching: one background thread prepares what the consumer will ask for next."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


class End:
    """What the thread puts into the queue last: with the error that ended it, if there was one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def fill(ready: "queue.Queue[T | End]", items: Iterator[T], stop: threading.Event) -> None:
    """The thread's side: put the items into the queue, then `End()`, or `End(error)` where taking one failed.

    `put` waits while the queue is full. Once `stop` is set, at most one more thing is put.
    """
    last: T | End = End()
    try:
        for item in items:
            ready.put(item)
            if stop.is_set():
                return
    except BaseException as error:  # noqa: BLE001 - raised again in the consumer
        last = End(error)
    if not stop.is_set():
        ready.put(last)


def prefetched(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield the items, which one background thread takes up to `depth` ahead of the consumer.

    The thread, a daemon, runs `fill(ready, items, stop)` on a queue with room for `depth`; this side gets
    from the queue until an `End` comes. An error of the items is raised here, in its place. However
    this generator ends, by itself or closed early, the thread ends before it: set `stop`, empty the queue, so
    that a thread that waits for room goes on, and join.

    >>> list(prefetched(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[T | End] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    thread = threading.Thread(target=fill, args=(ready, items, stop), name="tinytorch-prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()  # the thread can put at most one more thing, which an emptied queue has room for
        while not ready.empty():
            ready.get_nowait()
        thread.join()
