"""Many runs of checks from one warm process: each forks, puts its pieces in place and imports the package."""

from __future__ import annotations

import compileall
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinytorch.learn import graft
from tinytorch.learn.checks import Failure, Report, failed, take
from tinytorch.learn.course import Lesson
from tinytorch.learn.work import Piece


@dataclass
class Job:
    """One run of checks: what it is called, its task, and how long it may take, in seconds."""

    name: str
    lesson: Lesson
    task: dict[str, Any]
    timeout: float = 30.0
    note: Any = None
    mutants: Sequence[tuple[str, str]] = ()
    """Mutants to run one after the other in place of the reference: paths of work files and exercise ids."""


@dataclass
class _Running:
    job: Job
    pid: int
    report: Report
    deadline: float
    begun: float
    current: str = ""
    rest: bytes = b""
    finished: bool = False
    files: list[int] = field(default_factory=list)


def warm_up(folder: Path) -> None:
    """Import what every run needs, so that forks have it already, and hold BLAS to one thread.

    `folder`: where the package's bytecode is kept, so that no fork compiles what another did, unless
    PYTHONPYCACHEPREFIX names another place.
    """
    sys.pycache_prefix = sys.pycache_prefix or str(folder)
    compileall.compile_dir(Path(graft.__file__).parents[1], quiet=2)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    import _pytest.pathlib
    import numpy.testing
    import pytest
    import scipy.special
    import scipy.stats

    del _pytest, numpy, scipy
    pytest.console_main  # noqa: B018 - resolves pytest's own imports


def run_all(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Report]]:
    """Run the jobs, `workers` at a time, and yield each with its report as it ends."""
    waiting = iter(jobs)
    selector = selectors.DefaultSelector()
    running: set[int] = set()
    more = True
    try:
        while more or running:
            while more and len(running) < workers:
                job = next(waiting, None)
                if job is None:
                    more = False
                    break
                one = _start(job)
                running.add(one.pid)
                selector.register(one.files[0], selectors.EVENT_READ, one)
            for key, _ in selector.select(0.2):
                one = key.data
                if not _read(one):
                    selector.unregister(one.files[0])
                    running.discard(one.pid)
                    yield one.job, _close(one, late=False)
            now = time.monotonic()
            for key in list(selector.get_map().values()):
                if key.data.deadline < now:
                    selector.unregister(key.fileobj)
                    running.discard(key.data.pid)
                    yield key.data.job, _close(key.data, late=True)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        selector.close()


def _start(job: Job) -> _Running:
    """Fork a process that runs a job."""
    reading, writing = os.pipe()
    job.task["scratch"] = tempfile.mkdtemp(prefix="tito-")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        muted: list[bool] = []
        _in_fork(job, lambda line: muted or os.write(writing, line), muted)
    os.close(writing)
    now = time.monotonic()
    report = Report(job.lesson.label, job.task["seed"])
    return _Running(job, pid, report, now + job.timeout, now, files=[reading])


def _in_fork(job: Job, emit: Callable[[bytes], object], muted: list[bool]) -> None:
    """Run a job in the forked process, which ends here; `emit` is silent once something is in `muted`."""
    code, task = 70, job.task
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        sys.modules["tito_graft"] = graft
        graft.install([Piece(*piece) for piece in task["pieces"]], task["names"])
        from tinytorch.learn import checks_child

        also: list[object] = []
        if job.mutants:
            from tinytorch.learn.gate.batch import Batch

            also.append(Batch(job.mutants, emit, lambda: muted.append(True)))
        code = checks_child.run(task, emit, also)  # type: ignore[arg-type]  # the number of bytes is not used
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        told = graft.trouble(error, [Piece(*piece) for piece in task["pieces"]])
        emit(failed(Failure(**told)))
    finally:
        os._exit(code)


def _read(one: _Running) -> bool:
    """Take what a process has written; False once it has closed its end."""
    chunk = os.read(one.files[0], 1 << 16)
    *lines, one.rest = (one.rest + chunk).split(b"\n")
    for line in lines:
        one.current, done = take(one.report, line, one.current, None)
        one.finished = one.finished or done
    return bool(chunk)


def _close(one: _Running, late: bool) -> Report:
    """End a process and complete its report."""
    os.close(one.files[0])
    try:
        os.killpg(one.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        os.kill(one.pid, signal.SIGKILL)
    _, status = os.waitpid(one.pid, 0)
    shutil.rmtree(one.job.task["scratch"], ignore_errors=True)
    report = one.report
    report.seconds = time.monotonic() - one.begun
    if late:
        report.failures.append(Failure(one.current, "timeout", error=f"no end after {one.job.timeout:.0f} s"))
    elif not one.finished and not report.failures:
        report.failures.append(Failure(one.current, "crashed", error=f"the process ended (status {status})"))
    report.failure = report.failures[0] if report.failures else None
    return report
