"""Runs any program on the learner's code: `tito run script.py`."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tinytorch.errors import LearnError
from tinytorch.learn.checks import ROOT
from tinytorch.learn.work import Piece, read_work

Ran = list[tuple[str, str, int]]
"""(qualified name, file, line) of each of the learner's functions that ran."""


def run_program(arguments: Sequence[str], pieces: Sequence[Piece], ran: Ran | None = None) -> int:
    """Run `python script.py arguments` (or `-m module arguments`) with the pieces in place of the package's.

    Input and output are those of the caller. Returns the exit code; `ran` is extended by the learner's
    functions that ran. Raises LearnError where there is no such script, SyntaxError for bad work files.
    """
    words = list(arguments)
    is_module = bool(words) and words[0] == "-m"
    if not words or (is_module and len(words) < 2):
        raise LearnError("run: no program named; say tito run SCRIPT.py")
    if not is_module and not Path(words[0]).is_file():
        raise LearnError(f"run: there is no file {words[0]}")
    works = {file: read_work(file) for file in {piece.file for piece in pieces if piece.file}}
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        task, seen = Path(folder, "task.json"), Path(folder, "ran.json")
        content = {
            "package": str(ROOT),
            "run": "tinytorch.learn.run:run_here",
            "pieces": [[p.module, p.name, p.file] for p in pieces],
            "arguments": words,
            "ran": str(seen),
        }
        task.write_text(json.dumps(content), encoding="utf-8")
        try:
            code = subprocess.call(
                [sys.executable, "-P", str(Path(__file__).with_name("bootstrap.py")), str(task)]
            )
        except KeyboardInterrupt:
            code = 130
        code = 128 - code if code < 0 else code  # ended by a signal, as a shell says it
        if ran is not None and seen.is_file():
            files = {(p.module, p.name): p.file for p in pieces if p.file}
            for module, name in json.loads(seen.read_text(encoding="utf-8")):
                file = files.get((module, name))
                if file is not None:
                    ran.append((name, file, works[file][name].line))
    return code


def run_here(task: dict[str, Any]) -> int:
    """The other side: run the program in this process, in which the pieces are in place."""
    # the package is loaded: what lies beside it is not for the program to import before its own
    sys.path.remove(task["package"])
    sys.path.append(task["package"])
    is_module = task["arguments"][0] == "-m"
    sys.argv = task["arguments"][1:] if is_module else task["arguments"]
    program = sys.argv[0]
    sys.path.insert(0, os.getcwd() if is_module else str(Path(program).resolve().parent))
    graft: Any = sys.modules["tito_graft"]
    try:
        if is_module:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program, run_name="__main__")
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            sys.stderr.write(f"{leaving.code}\n")
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # noqa: BLE001 - shown as Python shows it, without the frames of this file
        traceback.print_exception(type(error), error, _from_program(error.__traceback__))
        return 1
    finally:
        Path(task["ran"]).write_text(json.dumps(sorted(graft.ran)), encoding="utf-8")
    return 0


def _from_program(trace: TracebackType | None) -> TracebackType | None:
    """What follows the frames that only start the program."""
    own = {__file__, runpy.__file__, "<frozen runpy>"}
    while trace is not None and trace.tb_frame.f_code.co_filename in own:
        trace = trace.tb_next
    return trace
