"""The program in the box: runs the checks on a submission's functions and reports, signed, on a pipe.

The key of the signatures is read and gone from sight before the first line of a learner's code is loaded.
A report without a valid signature, out of order or without its end counts as none.
"""

from __future__ import annotations

import hmac
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Emit = Callable[[bytes], None]


def signed(line: int, key: bytes) -> Emit:
    """A function that writes events to a file descriptor, each with a signature over it and its number."""
    base = hmac.new(key, digestmod="sha256")
    count = 0

    def emit(event: bytes) -> None:
        nonlocal count
        content = f"{count} ".encode() + event.strip()
        signature = base.copy()
        signature.update(content)
        rest = signature.hexdigest().encode() + b" " + content + b"\n"
        while rest:
            rest = rest[os.write(line, rest) :]
        count += 1

    return emit


def verified(sent: bytes, key: bytes) -> list[dict[str, Any]]:
    """The events in what came through the pipe, up to the first that is not in order."""
    events: list[dict[str, Any]] = []
    base = hmac.new(key, digestmod="sha256")
    for entry in sent.split(b"\n"):
        signature, _, content = entry.partition(b" ")
        expected = base.copy()
        expected.update(content)
        number, _, text = content.partition(b" ")
        if not hmac.compare_digest(signature, expected.hexdigest().encode()) or number != b"%d" % len(events):
            break
        events.append(json.loads(text))
    return events


class Watch:
    """A pytest plugin that reports how each check ended, by file and name."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def _say(self, event: str, **content: Any) -> None:
        self._emit(json.dumps({"event": event, **content}).encode())

    def pytest_collection_finish(self, session: Any) -> None:
        """Report which checks there are."""
        self._say("items", items=[[_name(item.nodeid), _exercises(item)] for item in session.items])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Report that a check begins."""
        self._say("begin", item=_name(nodeid))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Report one of the three phases of a check."""
        self._say("phase", item=_name(report.nodeid), when=report.when, outcome=report.outcome)


def _name(nodeid: str) -> str:
    return nodeid.rpartition("/")[2]


def _exercises(item: Any) -> list[str]:
    return [str(name) for mark in item.iter_markers("exercise") for name in mark.args]


def main() -> None:
    """Read the task, put the pieces in place, run the checks; nothing after the end of the report counts."""
    paths, line = json.loads(sys.argv[1]), int(sys.argv[2])
    task = json.loads(sys.stdin.buffer.read())
    task["scratch"] = os.environ["TMPDIR"]
    emit = signed(line, bytes.fromhex(task.pop("key")))
    sys.path[:0] = [task["package"]]
    sys.path += paths
    root = Path(task["package"])
    graft = _load(root / "tinytorch" / "learn" / "bootstrap.py").load(root)
    graft.install([graft.Piece(*piece) for piece in task["pieces"]], task["names"])
    sys.setrecursionlimit(1000)
    leave = os._exit
    try:
        run = importlib.import_module("tinytorch.learn.checks_child").run
    except BaseException as error:  # noqa: BLE001 - a learner's helper ran as the package was imported
        emit(json.dumps({"event": "broken", "error": f"{type(error).__name__}: {error}"[:500]}).encode())
        leave(1)
    run(task, emit, [Watch(emit)])
    emit(b'{"event": "end"}')
    leave(0)


def _load(path: Path) -> Any:
    """The module `graft` by its file.

    `review` has the same lines: what both could import them from is the package, and that must not be
    loaded before the graft is in place, nor at all where files are only read.
    """
    spec = importlib.util.spec_from_file_location("tito_bootstrap", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tito_bootstrap"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
