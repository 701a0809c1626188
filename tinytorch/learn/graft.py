"""The learner's functions in the place of the package's, by a loader, before a module's body runs."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import traceback
from collections.abc import Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any

from tinytorch.learn.splice import RAN, graft
from tinytorch.learn.work import Clash, Piece, read_work

ran: set[tuple[str, str]] = set()
"""(module, qualified name) of each grafted function that ran in this process."""


class _Ran:
    """What a grafted function of one module calls when it runs."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.seen: set[str] = set()

    def add(self, name: str) -> None:
        if name not in self.seen:
            self.seen.add(name)
            ran.add((self.module, name))


_NO_OPS = ("tinytorch.ops.spec", "tinytorch.ops.meta")  # tinytorch.ops.context itself imports them


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with its pieces in place, never from a cache."""

    def __init__(self, module: str, path: str, pieces: Sequence[Piece], exercises: Sequence[str]) -> None:
        super().__init__(module, path)
        self.pieces, self.exercises = pieces, exercises

    def get_code(self, fullname: str) -> CodeType:
        return graft(self.get_data(self.path), self.path, fullname, self.pieces, self.exercises)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__[RAN] = _Ran(module.__name__)
        super().exec_module(module)
        if module.__name__.startswith("tinytorch.ops.") and module.__name__ not in _NO_OPS:
            owned = {p.name.split(".")[0] for p in self.pieces if "." in p.name}
            context = importlib.import_module("tinytorch.ops.context")
            context.keep_rules(owned)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the package that have pieces; `exercises`: further names in their files."""

    def __init__(self, pieces: Iterable[Piece], exercises: Iterable[str] = ()) -> None:
        self.pieces: dict[str, list[Piece]] = {}
        for piece in pieces:
            self.pieces.setdefault(piece.module, []).append(piece)
        self.exercises = [*exercises, *(p.name for found in self.pieces.values() for p in found)]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module with pieces, with the loader that puts them in place."""
        if fullname not in self.pieces:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, self.pieces[fullname], self.exercises)
        return spec


def install(pieces: Iterable[Piece], exercises: Iterable[str] = ()) -> None:
    """From now on import the package with these pieces; what is loaded of it already is loaded anew.

    `exercises`: names of functions in the same files that are exercises too, though not pieces now.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinytorch"]:
        del sys.modules[name]
    own = ("tito_graft", "__main__", "tinytorch.learn.graft")  # this file may be loaded under several names
    finders = [f for f in sys.meta_path if (type(f).__name__, type(f).__module__ in own) != ("Finder", True)]
    sys.meta_path[:] = [Finder(pieces, exercises), *finders]
    ran.clear()


# ---------------------------------------------------------------- what keeps a module from loading


def trouble(error: BaseException, pieces: Sequence[Piece]) -> dict[str, Any]:
    """Why the package could not be loaded with the pieces: kind, exercise, error, file, line, source."""
    files = {piece.file for piece in pieces if piece.file}
    told: dict[str, Any] = {"kind": "import", "error": f"{type(error).__name__}: {error}", "exercise": ""}
    trace = traceback.extract_tb(error.__traceback__)
    frames = [f for f in trace if f.filename in files]
    if isinstance(error, SyntaxError) and error.filename in files:
        told |= {"kind": "syntax", "error": error.msg, "file": error.filename, "line": error.lineno or 0}
        told["source"] = (error.text or "").rstrip()
    elif isinstance(error, Clash):
        told |= {"error": str(error), "file": error.file, "line": error.line}
    elif frames:
        told |= {"file": frames[-1].filename, "line": frames[-1].lineno or 0, "source": frames[-1].line or ""}
    elif trace:
        told |= _default_argument(trace[-1], pieces)
    names = [piece.name for piece in pieces if piece.file and piece.file == told.get("file")]
    if isinstance(error, NotImplementedError) and str(error) in {piece.name for piece in pieces}:
        told |= {"kind": "unwritten", "exercise": str(error), "error": f"{error} is not written yet"}
    elif told["kind"] != "syntax" and names:
        places = read_work(told["file"])
        around = [n for n in names if places[n].line <= told["line"] <= places[n].end]
        told["exercise"] = around[0] if around else names[0]
    return told


def _default_argument(frame: traceback.FrameSummary, pieces: Sequence[Piece]) -> dict[str, Any]:
    """The place of a piece whose default argument failed: that runs in the package's module, on its lines."""
    for piece in pieces:
        if piece.file and frame.filename.replace("\\", "/").endswith(piece.module.replace(".", "/") + ".py"):
            place = read_work(piece.file)[piece.name]
            if frame.lineno == place.line:
                return {"file": piece.file, "line": place.line}
    return {}
