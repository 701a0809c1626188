"""The other side of a run of checks: pytest in the process in which the graft is in place."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

Emit = Callable[[bytes], None]


def main(task: dict[str, Any]) -> int:
    """Run the checks of a task; reports go to what was standard output, prints of the code to the other."""
    reports = os.fdopen(task["out"], "wb", 0)
    return run(task, reports.write)  # type: ignore[arg-type]  # the number of bytes is of no interest


def run(task: dict[str, Any], emit: Emit, also: Sequence[object] = ()) -> int:
    """Run the checks of a task, reporting each step by `emit`; returns 0 if all passed.

    `also`: more pytest plugins.
    """
    from tinytorch.learn import checks, plugin

    graft: Any = sys.modules["tito_graft"]
    os.environ[plugin.SEED] = str(task["seed"])
    works = {piece[2] for piece in task["pieces"] if piece[2]}
    written = {}
    for file in works:
        for name, place in graft.read_work(file).items():
            written[file, name] = place.line
    observer = _Observer(task, works, written, emit)
    problem = _load(task)
    if problem is not None:
        emit(checks.failed(problem))
        emit(checks.event("done", ran=[]))
        return 1
    sys.dont_write_bytecode = True
    arguments = [
        task["checks"],
        "-c",
        str(Path(__file__).with_name("checks.ini")),
        "--noconftest",
        "--rootdir",
    ]
    arguments += [task["checks"], "--import-mode=importlib", "-s", "--assert=plain"]
    # a folder of this run's own: pytest's usual one is shared with all other runs, whose folders it clears
    arguments += ["--basetemp", str(Path(task["scratch"]) / "checks")]
    for unused in (
        "cacheprovider",
        "debugging",
        "terminal",
        "doctest",
        "junitxml",
        "pastebin",
        "setuponly",
        "setupplan",
        "unraisableexception",
    ):
        arguments += ["-p", f"no:{unused}"]
    code = pytest.main(arguments, [plugin, observer, *also])
    files = {(p[0], p[1]): p[2] for p in task["pieces"]}
    ran = [(n, files[m, n], written[files[m, n], n]) for m, n in sorted(graft.ran) if files.get((m, n))]
    if code not in (0, 1, 2, 5) and not observer.failed:
        emit(checks.failed(checks.Failure("", "crashed", error=f"pytest ended with code {int(code)}")))
    emit(checks.event("done", ran=ran))
    return int(bool(code) or observer.failed)


def _load(task: dict[str, Any]) -> Any:
    """Import the modules of the exercises; the failure if the learner's code keeps them from loading."""
    import importlib

    from tinytorch.learn.checks import Failure

    graft: Any = sys.modules["tito_graft"]
    for module, _ in task["exercises"]:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - whatever the learner's code does, it is reported
            return Failure(**graft.trouble(error, [graft.Piece(*piece) for piece in task["pieces"]]))
    return None


def no_debugger(*_: object, **__: object) -> None:
    """What breakpoint() calls in checks, which have no terminal to talk on: raises LearnError."""
    from tinytorch.errors import LearnError

    raise LearnError("checks have no terminal for breakpoint(); it stops in: tito run FILE")


def helpers_in(called: str, item: pytest.Item) -> list[tuple[str, str]]:
    """What the functions and classes in a call that belong to the checks do, by signature.

    They are not in the package, so a learner cannot look them up there.
    """
    try:
        tree = ast.parse(called)
    except SyntaxError:  # what raised was no call: the text is that of an error
        return []
    names = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    assert isinstance(item, pytest.Function)
    found = [(name, vars(item.module).get(name)) for name in names]
    return [
        (name + _parameters(thing), " ".join(inspect.cleandoc(thing.__doc__).split("\n\n")[0].split()))
        for name, thing in found
        if inspect.isfunction(thing) | inspect.isclass(thing)
        and _file(thing).is_relative_to(item.path.parent)
        and thing.__doc__
    ]


def _file(thing: Any) -> Path:
    """The file that defines a function or class; an empty path for what is built in."""
    try:
        return Path(inspect.getfile(thing))
    except (TypeError, OSError):
        return Path()


def _parameters(thing: Any) -> str:
    """`(op, g, *arrays)` of a function; nothing for a class."""
    if inspect.isclass(thing):
        return ""
    signature = inspect.signature(thing)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


class _Observer:
    """A pytest plugin that orders checks by exercise, stops at the first failure and reports."""

    def __init__(self, task: dict[str, Any], works: set[str], written: dict[Any, int], emit: Emit) -> None:
        self.task, self.works, self.written, self.emit = task, works, written, emit
        self.order = {name: number for number, (_, name) in enumerate(task["exercises"])}
        self.files = {piece[1]: piece[2] for piece in task["pieces"]}
        self.names: dict[str, str] = {}
        self.failed = False

    def _exercise(self, item: pytest.Item) -> str:
        named = [str(name) for mark in item.iter_markers("exercise") for name in mark.args]
        unknown = [name for name in named if name not in self.order]
        if unknown or not named:
            raise pytest.UsageError(f"{item.nodeid}: no exercise of this lesson: {unknown or 'no marker'}")
        return max(named, key=self.order.__getitem__)

    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Keep the checks that are wanted, in the order of the exercises."""
        from tinytorch.learn.checks import event

        self.names = {item.nodeid: self._exercise(item) for item in items}
        if self.task["only"]:
            items[:] = [item for item in items if self.names[item.nodeid] == self.task["only"]]
        first = self.task["first"]
        items.sort(key=lambda item: (self.names[item.nodeid] != first, self.order[self.names[item.nodeid]]))
        total: dict[str, int] = {}
        for item in items:
            total[self.names[item.nodeid]] = total.get(self.names[item.nodeid], 0) + 1
        self.emit(event("collected", total=total))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which exercise is being checked, so that a crash is known by it."""
        from tinytorch.learn.checks import event

        self.emit(event("start", exercise=self.names[nodeid]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
        """Report a check that passed or failed, without pytest's text of a failure, which takes 0.1 s."""
        from tinytorch.learn.checks import event, failed

        error = call.excinfo.value if call.excinfo is not None else None
        skipped = isinstance(error, pytest.skip.Exception)
        if error is not None and not skipped:
            self.failed = True
            failure = self._failure(item, error)
            failure.helpers = helpers_in(failure.called, item)
            self.emit(failed(failure))
            if self.task["stop"]:
                item.session.shouldfail = "stopped at the first failure"
        elif call.when == "call" and not skipped:
            self.emit(event("passed", exercise=self.names[item.nodeid]))
        outcome: Literal["passed", "failed", "skipped"] = "passed" if error is None else "failed"
        outcome = "skipped" if skipped else outcome
        words = None if error is None else str(error)
        assert call.when != "collect"
        return pytest.TestReport(
            item.nodeid, item.location, {}, outcome, words, call.when, duration=call.duration
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Report a file of checks that cannot be loaded."""
        from tinytorch.learn.checks import Failure, failed

        if report.failed:
            self.failed = True
            self.emit(failed(Failure("", "crashed", report.nodeid, error=str(report.longrepr)[-2000:])))

    def _failure(self, item: pytest.Item, error: BaseException) -> Any:
        from tinytorch.learn.checks import Failure
        from tinytorch.learn.expect import Raised, Wrong

        name = self.names[item.nodeid]
        title = item.name
        if isinstance(error, Wrong):
            where = self._definition(name)
            return Failure(
                name,
                "wrong",
                title,
                error.called,
                error.given,
                error.got,
                error.expected,
                error.difference,
                **where,
            )
        called, given = "", []
        if isinstance(error, Raised):
            called, given = error.called, error.given
            error = error.__cause__ or error
        if isinstance(error, NotImplementedError) and str(error) in self.order:
            stub = str(error)
            return Failure(stub, "unwritten", title, called, given, error=f"{stub} is not written yet")
        place = self.place(error, name)
        if not place and not called:
            called = "".join(traceback.format_exception_only(error)).strip()
        where = place or self._definition(name)
        return Failure(
            name, "raised", title, called, given, error=f"{type(error).__name__}: {error}", **where
        )

    def _definition(self, name: str) -> dict[str, Any]:
        """Where the learner's file defines an exercise."""
        file = self.files.get(name)
        return {"file": file, "line": self.written[file, name]} if file else {}

    def place(self, error: BaseException, name: str) -> dict[str, Any]:
        """The place in the learner's files at which an error arose: in the exercise, if it passed through it.

        Else the innermost: code of an earlier lesson may refuse what this exercise hands to it, rightly.
        """
        frames: Sequence[Any] = [
            f for f in traceback.extract_tb(error.__traceback__) if f.filename in self.works
        ]
        last = name.rpartition(".")[2]
        own = [f for f in frames if f.filename == self.files.get(name) and f.name == last]
        if not frames:
            return {}
        shown = (own or frames)[-1]
        return {"file": shown.filename, "line": shown.lineno or 0, "source": shown.line or ""}
