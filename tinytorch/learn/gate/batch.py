"""Runs an exercise's checks on many mutants, each in a fork of a process where all is loaded."""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

import pytest

LEAST, FACTOR = 2.0, 20.0  # seconds a mutant may take at least, and in multiples of what the reference took


class Batch:
    """A pytest plugin that, in place of one run of the checks, makes one on the reference and one a mutant.

    `mutants`: (path of a work file, exercise id). `mute`: called in a fork, where nothing else may be told.
    For each mutant it reports by `emit` how that ended: "killed", "survived", "late", or "whole" where the
    change cannot be made without importing the package anew.
    """

    def __init__(
        self, mutants: Sequence[tuple[str, str]], emit: Callable[[bytes], object], mute: Callable[[], None]
    ) -> None:
        self.mutants, self.emit, self.mute = mutants, emit, mute

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the checks once on the reference, then on each mutant."""
        from tinytorch.learn.checks import event

        gc.freeze()  # a collection in a fork would otherwise copy every page that holds an object
        begun = time.monotonic()
        if self._in_fork(session, lambda: True, 60.0) != "survived":
            raise pytest.UsageError("the reference does not pass")
        limit = max(LEAST, FACTOR * (time.monotonic() - begun))
        for number, (file, exercise) in enumerate(self.mutants):
            end = self._in_fork(session, lambda f=file, e=exercise: self._swap(f, e), limit)  # type: ignore[misc]
            self.emit(event("mutant", number=number, end=end))
        return True

    def _in_fork(self, session: pytest.Session, prepare: Callable[[], bool], seconds: float) -> str:
        """Run the checks in a fork and say how they ended."""
        pid = os.fork()
        if pid == 0:
            self.mute()
            signal.setitimer(signal.ITIMER_REAL, seconds)
            code = 3
            try:
                if prepare():
                    code = 1
                    code = _run(session)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            return "late" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
        return {0: "survived", 3: "whole"}.get(os.WEXITSTATUS(status), "killed")

    def _swap(self, file: str, exercise: str) -> bool:
        """Give the loaded function the code of the mutant; False where that cannot be done."""
        graft: Any = sys.modules["tito_graft"]
        module, name = exercise.split(":")
        loaded = importlib.import_module(module)
        function = _function(loaded, name)
        path = str(loaded.__file__)
        with open(path, "rb") as source:
            code = graft.graft(source.read(), path, module, [graft.Piece(module, name, file)])
        found = [c for c in _codes(code) if c.co_qualname == name and c.co_filename == file]
        if function is None or len(found) != 1 or found[0].co_freevars != function.__code__.co_freevars:
            return False
        loaded.__dict__.setdefault(graft.RAN, set())
        function.__code__ = found[0]
        return True


def _run(session: pytest.Session) -> int:
    """Run the collected checks until one fails: 1 if one did."""
    failures = _Failures()
    session.config.pluginmanager.register(failures)
    for item in session.items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        if failures.seen:
            return 1
    return 0


class _Failures:
    def __init__(self) -> None:
        self.seen = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember that a check failed."""
        self.seen = self.seen or report.failed


def _function(module: Any, name: str) -> FunctionType | None:
    """The plain function behind a name: methods of classes, properties and wrapped functions looked into."""
    owner: Any = module
    *classes, last = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    found = inspect.getattr_static(owner, last)
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, staticmethod | classmethod):
        found = found.__func__
    found = inspect.unwrap(found)
    return found if isinstance(found, FunctionType) else None


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
