"""Serving: the web server in this process, and a worker beside it that measures what waits."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from tinytorch import console
from tinytorch.benchmarking.competition import Competition
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import STALE, Job, Queue
from tinytorch.errors import BenchmarkError

PAUSE = 1.0
"""Seconds between two looks into an empty queue."""


def serve(store: str | None, host: str, port: int, strict: bool = False) -> None:
    """Serve until it is stopped; raises BenchmarkError where the extra `server` is not installed."""
    try:
        import uvicorn

        from tinytorch.benchmarking.web.app import make_app
    except ImportError as error:
        raise BenchmarkError(f"serve: {error.name} is missing: pip install the extra `server`") from error
    board = Leaderboard(store)
    with worker(store, strict):
        console.notice(f"http://{host}:{port}, Ctrl-C stops it")
        uvicorn.run(make_app(board), host=host, port=port, log_level="warning", server_header=False)


@contextlib.contextmanager
def worker(store: str | None, strict: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process that measures what waits, for as long as the context lasts."""
    command = [sys.executable, "-m", "tinytorch", "--quiet", "bench", "work"]
    command += ["--store", store] if store is not None else []
    command += ["--strict"] if strict else []
    process = subprocess.Popen(command, env=dict(os.environ))
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def work(competition: Competition, until: threading.Event, once: bool = False) -> int:
    """Measure what waits, one after the other, until told to stop, or with `once` until nothing waits.

    Returns how many there were.
    """
    queue, count = Queue(competition.board), 0
    while not until.is_set():
        with heartbeat(queue) as told:
            job = competition.work(queue, told)
        if job is not None:
            count += 1
            console.notice(f"upload {job.id}: {job.state}")
        elif once:
            break
        else:
            until.wait(PAUSE)
    return count


@contextlib.contextmanager
def heartbeat(queue: Queue) -> Iterator[list[Job]]:
    """While a job is in the list, say again and again that its worker is alive."""
    jobs: list[Job] = []
    done = threading.Event()

    def beat() -> None:
        while not done.wait(STALE / 10):
            for job in jobs:
                queue.beat(job)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield jobs
    finally:
        done.set()
        thread.join()
