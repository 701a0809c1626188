"""The learner's functions in the place of the package's, put there by a loader before a module's body runs.

It uses the standard library alone, for it is loaded before `tinytorch` is: as a program it reads a task
(JSON) from the file named or standard input, puts the graft in place, and calls what the task names.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import tokenize
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
OTHERS = {"overload", "setter", "deleter"}  # decorators of definitions that share a function's name
HELPERS = "__tito_helpers__"  # the function that defines a learner's helpers in a module
RAN = "__tito_ran__"  # the name by which a grafted function notes that it ran
ran: set[tuple[str, str]] = set()
"""(module, qualified name) of each grafted function that ran in this process."""


@dataclass(frozen=True)
class Piece:
    """One function to put in place: the learner's from `file`, or one that raises where there is no file."""

    module: str
    name: str
    file: str | None


class Written(NamedTuple):
    """A function in a work file: whether it is more than the stub, and its lines."""

    name: str
    started: bool
    line: int
    end: int


class Clash(Exception):  # noqa: N818
    """A helper of the learner's that has the name of something in the package's module."""

    def __init__(self, name: str, module: str, file: str, line: int) -> None:
        super().__init__(f"{name} is a name that {module} uses itself: give your helper another one")
        self.file, self.line = file, line


# ---------------------------------------------------------------- work files


def parse(path: str | Path) -> ast.Module:
    """The syntax tree of a source file in the encoding it declares; raises SyntaxError with its place."""
    with tokenize.open(path) as file:
        text = file.read()
    return ast.parse(text, str(path))


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """All functions at top level and in classes at top level, by qualified name.

    Overloads, setters and deleters, which share the name of another, are left out.
    """
    for node in tree.body:
        if isinstance(node, Function):
            if _is_itself(node):
                yield node.name, node
        elif isinstance(node, ast.ClassDef):
            own = [part for part in node.body if isinstance(part, Function) and _is_itself(part)]
            yield from ((f"{node.name}.{part.name}", part) for part in own)


def _is_itself(node: Function) -> bool:
    return OTHERS.isdisjoint(ast.unparse(d).rpartition(".")[2] for d in node.decorator_list)


def is_stub(function: Function) -> bool:
    """Whether the body is nothing, or nothing but `raise NotImplementedError`, beside the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return True
    if len(body) > 1 or not isinstance(body[0], ast.Raise):
        return False
    error = body[0].exc
    name = error.func if isinstance(error, ast.Call) else error
    return isinstance(name, ast.Name) and name.id == "NotImplementedError"


def read_work(path: str | Path) -> dict[str, Written]:
    """The functions of a work file by qualified name; raises SyntaxError for what does not parse."""
    return {
        name: Written(name, not is_stub(node), node.lineno, node.end_lineno or node.lineno)
        for name, node in functions(parse(path))
    }


def pieces_of(names: Iterable[tuple[str, str]], path: str | Path) -> list[Piece]:
    """Those of the exercises, (module, qualified name), that are started in a work file."""
    written = read_work(path)
    return [Piece(m, n, str(path)) for m, n in names if n in written and written[n].started]


# ---------------------------------------------------------------- grafting one module


def graft(
    source: bytes, path: str, module: str, pieces: Sequence[Piece], others: Iterable[str] = ()
) -> CodeType:
    """The code of a module in which the pieces stand in the place of its own functions.

    `others`: names of pieces for other modules, which may stand in the same files and are no helpers.
    """
    tree = ast.parse(source, path)
    places = dict(functions(tree))
    names: dict[str, list[str]] = {}
    for piece in pieces:
        if piece.name not in places:
            raise LookupError(f"{module} has no {piece.name}")
        if piece.file is None:
            _make_stub(places[piece.name], piece.name)
        else:
            names.setdefault(piece.file, []).append(piece.name)
    files: dict[tuple[str, int], str] = {}
    for file, own in names.items():
        work = parse(file)
        written = dict(functions(work))
        for name in own:
            _put_in_place(places[name], written[name], name)
        own += _add_methods(tree, work, own, {*others})
        helpers = _helpers(work, [written[name] for name in own], {*others, *own})
        _refuse_clashes(tree, helpers, module, file)
        if helpers:
            files[HELPERS, helpers[0].lineno] = file
            tree.body[_after_imports(tree) : _after_imports(tree)] = _in_one_function(helpers)
        files |= {(name, first_line(written[name])): file for name in own}
    return _named(compile(ast.fix_missing_locations(tree), path, "exec"), files)


def first_line(node: Function | ast.ClassDef) -> int:
    """The line by which Python knows a definition: that of its first decorator, if it has one."""
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _after_imports(tree: ast.Module) -> int:
    imports = [i for i, node in enumerate(tree.body) if isinstance(node, ast.Import | ast.ImportFrom)]
    return max(imports, default=0) + 1


def _put_in_place(place: Function, mine: Function, name: str) -> None:
    """Give a function of the package the learner's arguments and body, and lines of the learner's file."""
    note = ast.parse(f"{RAN}.add({name!r})").body
    documented = ast.get_docstring(mine) is not None
    line = first_line(mine)
    place.args, place.returns = mine.args, mine.returns
    place.body = [*mine.body[:documented], *note, *mine.body[documented:]]
    place.lineno, place.end_lineno = line, mine.end_lineno
    for node in [*note, *place.decorator_list]:
        for part in ast.walk(node):
            if isinstance(part, ast.expr | ast.stmt):
                part.lineno = part.end_lineno = line
                part.col_offset = part.end_col_offset = 0


def _make_stub(place: Function, name: str) -> None:
    documented = ast.get_docstring(place) is not None
    place.body = [*place.body[:documented], *ast.parse(f"raise NotImplementedError({name!r})").body]


def _add_methods(tree: ast.Module, work: ast.Module, own: Sequence[str], others: Set[str]) -> list[str]:
    """Give the classes of the pieces the further methods that the learner wrote; returns their names.

    Not those that belong to a class of this name in another module.
    """
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    owners = {name.partition(".")[0] for name in own if "." in name}
    there = dict(functions(tree))
    added = []
    for name, node in functions(work):
        owner = name.partition(".")[0]
        if "." in name and owner in owners and name not in {*there, *others} and not is_stub(node):
            classes[owner].body.append(node)
            added.append(name)
    return added


def _helpers(work: ast.Module, own: Sequence[Function], exercises: set[str]) -> list[ast.stmt]:
    """The other top-level statements of a work file that its functions need, in order."""
    places = {n.partition(".")[0] for n, node in functions(work) if n in exercises or is_stub(node)}
    named: dict[str, ast.stmt] = {}
    for node in work.body:
        if not (isinstance(node, Function | ast.ClassDef) and node.name in places):
            named |= dict.fromkeys(_defined(node), node)
    wanted: list[ast.stmt] = []
    queue: list[ast.AST] = [*own]
    while queue:
        for part in ast.walk(queue.pop()):
            found = named.get(part.id) if isinstance(part, ast.Name) else None
            if found is not None and found not in wanted and found not in own:
                wanted.append(found)
                queue.append(found)
    return [node for node in work.body if node in wanted]


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        return [] if future else [(a.asname or a.name).split(".")[0] for a in node.names]
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def _in_one_function(helpers: Sequence[ast.stmt]) -> list[ast.stmt]:
    """A function that defines the helpers in the module, and its call: so they can bear their own file."""
    define, call = ast.parse(f"def {HELPERS}():\n    global x\n{HELPERS}()").body
    assert isinstance(define, ast.FunctionDef)
    names = sorted({name for helper in helpers for name in _defined(helper)})
    plain = [
        ast.copy_location(ast.Assign([h.target], h.value), h)
        if isinstance(h, ast.AnnAssign) and h.value
        else h
        for h in helpers
    ]
    define.body = [ast.Global(names), *plain]
    for node in (define, define.body[0]):
        node.lineno = node.end_lineno = helpers[0].lineno
    return [define, call]


def _refuse_clashes(tree: ast.Module, helpers: Sequence[ast.stmt], module: str, file: str) -> None:
    taken = {
        name
        for node in tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom)
        for name in _defined(node)
    }
    for helper in helpers:
        for name in _defined(helper):
            if name in taken:
                raise Clash(name, module, file, helper.lineno)


def _named(code: CodeType, files: Mapping[tuple[str, int], str], inside: str | None = None) -> CodeType:
    """The code object in which those of the learner's functions bear the name of the learner's file."""
    file = inside or files.get((code.co_qualname, code.co_firstlineno))
    constants = tuple(_named(c, files, file) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_filename=file or code.co_filename)


# ---------------------------------------------------------------- the loader


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

    def __init__(self, module: str, path: str, pieces: Sequence[Piece], others: Sequence[str]) -> None:
        super().__init__(module, path)
        self.pieces, self.others = pieces, others

    def get_code(self, fullname: str) -> CodeType:
        return graft(self.get_data(self.path), self.path, fullname, self.pieces, self.others)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__[RAN] = _Ran(module.__name__)
        super().exec_module(module)
        if module.__name__.startswith("tinytorch.ops.") and module.__name__ not in _NO_OPS:
            owned = {p.name.split(".")[0] for p in self.pieces if "." in p.name}
            context = importlib.import_module("tinytorch.ops.context")
            context.keep_rules(owned)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the package that have pieces."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces: dict[str, list[Piece]] = {}
        for piece in pieces:
            self.pieces.setdefault(piece.module, []).append(piece)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module with pieces, with the loader that puts them in place."""
        if fullname not in self.pieces:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        names = [piece.name for pieces in self.pieces.values() for piece in pieces]
        spec.loader = _Loader(fullname, spec.origin, self.pieces[fullname], names)
        return spec


def install(pieces: Iterable[Piece]) -> None:
    """From now on import the package with these pieces; what is loaded of it already is loaded anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinytorch"]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != Finder.__name__]
    sys.meta_path.insert(0, Finder(pieces))
    ran.clear()


# ---------------------------------------------------------------- what keeps a module from loading


def trouble(error: BaseException, pieces: Sequence[Piece]) -> dict[str, Any]:
    """Why the package could not be loaded with the pieces: kind, exercise, error, file, line, source."""
    files = {piece.file for piece in pieces if piece.file}
    told: dict[str, Any] = {"kind": "import", "error": f"{type(error).__name__}: {error}", "exercise": ""}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    if isinstance(error, SyntaxError) and error.filename in files:
        told |= {"kind": "syntax", "error": error.msg, "file": error.filename, "line": error.lineno or 0}
        told["source"] = (error.text or "").rstrip()
    elif isinstance(error, Clash):
        told |= {"error": str(error), "file": error.file, "line": error.line}
    elif frames:
        told |= {"file": frames[-1].filename, "line": frames[-1].lineno or 0, "source": frames[-1].line or ""}
    names = [piece.name for piece in pieces if piece.file and piece.file == told.get("file")]
    if isinstance(error, NotImplementedError) and str(error) in {piece.name for piece in pieces}:
        told |= {"kind": "unwritten", "exercise": str(error), "error": f"{error} is not written yet"}
    elif told["kind"] != "syntax" and names:
        places = read_work(told["file"])
        around = [n for n in names if places[n].line <= told["line"] <= places[n].end]
        told["exercise"] = around[0] if around else names[0]
    return told


def main() -> None:
    """Read a task, install its pieces and run its function with the task."""
    raw = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else sys.stdin.buffer.read()
    task: dict[str, Any] = json.loads(raw)
    sys.exit(perform(task))


def perform(task: dict[str, Any]) -> int:
    """Do a task in this process; where the package cannot be loaded with its pieces, say why and return 1."""
    sys.path.insert(0, task["package"])
    sys.modules["tito_graft"] = sys.modules[__name__]
    pieces = [Piece(*piece) for piece in task["pieces"]]
    install(pieces)
    module, _, function = task["run"].partition(":")
    try:
        run = getattr(importlib.import_module(module), function)
    except BaseException as error:  # noqa: BLE001 - whatever the learner's code does, it is reported
        if "checks" in task:
            for event in (
                {"event": "failed", "failure": trouble(error, pieces)},
                {"event": "done", "ran": []},
            ):
                sys.stdout.write(json.dumps(event) + "\n")
        else:
            traceback.print_exception(error)
        return 1
    code: int = run(task)
    return code


if __name__ == "__main__":
    main()
