"""Work files: the functions in them, which of them are started, and what is to be put where."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
OTHERS = {"overload", "setter", "deleter"}  # decorators of definitions that share a function's name


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
    """A method or constant of the learner's with the name of something that the package's class has."""

    def __init__(self, name: str, module: str, file: str, line: int) -> None:
        super().__init__(f"{name} is in {module} already, and not an exercise: give yours another name")
        self.file, self.line = file, line


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


def make_stub(function: Function, name: str) -> None:
    """Leave of a function its docstring and a `raise NotImplementedError`, for which `is_stub` looks."""
    documented = ast.get_docstring(function) is not None
    function.body = [*function.body[:documented], *ast.parse(f"raise NotImplementedError({name!r})").body]


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


def first_line(node: ast.stmt) -> int:
    """The line at which a statement begins, as Python knows it: that of a definition's first decorator."""
    decorators = node.decorator_list if isinstance(node, Function | ast.ClassDef) else []
    return min([node.lineno, *(d.lineno for d in decorators)])
