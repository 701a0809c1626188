"""The first thing that runs where the learner's code shall run: the graft, before `tinytorch` is imported.

As a program it reads a task (JSON) from the file named or standard input, puts the pieces in place, and calls
the function that the task names.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load(root: Path) -> Any:
    """The module `tinytorch.learn.graft` of the package in a folder, without importing the package.

    Empty packages stand in until the graft is loaded; `install` then has the real ones imported. From here on
    the module is known as `tito_graft`.
    """
    for name in ("tinytorch", "tinytorch.learn"):
        stand_in = ModuleType(name)
        stand_in.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = stand_in
    graft = importlib.import_module("tinytorch.learn.graft")
    sys.modules["tito_graft"] = graft
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinytorch"]:
        del sys.modules[name]
    return graft


def perform(task: dict[str, Any]) -> int:
    """Do a task in this process; where the package cannot be loaded with its pieces, say why and return 1."""
    sys.path.insert(0, task["package"])
    graft = load(Path(__file__).parents[2])
    pieces = [graft.Piece(*piece) for piece in task["pieces"]]
    graft.install(pieces, task.get("names", ()))
    if "checks" in task:  # reports go where standard output went, what code prints to standard error
        task["out"] = os.dup(1)
        os.dup2(2, 1)
        if os.name != "nt":  # so that a run out of patience can be asked where it is
            faulthandler.register(signal.SIGUSR1, sys.stderr, all_threads=False)
    module, _, function = task["run"].partition(":")
    try:
        run = getattr(importlib.import_module(module), function)
    except BaseException as error:  # noqa: BLE001 - whatever the learner's code does, it is reported
        told = graft.trouble(error, pieces)
        if "checks" in task:
            events = ({"event": "failed", "failure": told}, {"event": "done", "ran": []})
            os.write(task["out"], "".join(json.dumps(event) + "\n" for event in events).encode())
        else:
            place = f"{told['file']}, line {told['line']}: " if "file" in told else ""
            sys.stderr.write(f"{place}{told['error']}\n")
        return 1
    code: int = run(task)
    return code


def main() -> None:
    """Read a task and do it."""
    raw = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else sys.stdin.buffer.read()
    sys.exit(perform(json.loads(raw)))


if __name__ == "__main__":
    main()
