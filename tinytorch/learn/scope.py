"""An exercise in its module: where it stands there, and what names it finds, as imports for an editor."""

from __future__ import annotations

import ast
import builtins
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tinytorch
from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise
from tinytorch.learn.names import bound
from tinytorch.learn.work import Function, first_line, functions

BUILTINS = frozenset(dir(builtins))
Alias = tuple[str, str]  # a name in its module, and the name it goes by here


def module_file(module: str) -> Path:
    """The file of a module of the package; raises LearnError where there is none."""
    place = Path(tinytorch.__path__[0]).joinpath(*module.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    raise LearnError(f"the package has no module {module}: update TinyTorch, or mend lesson.toml")


def module_source(module: str) -> str:
    """The text of a module of the package, read from its file; raises LearnError."""
    return module_file(module).read_text(encoding="utf-8")


def find(tree: ast.Module, name: str) -> Function | None:
    """The function of a qualified name: the last one, not counting overloads, setters and deleters."""
    return dict(functions(tree)).get(name)


def span(node: Function) -> tuple[int, int]:
    """First and last line of a function, its decorators included."""
    return first_line(node), node.end_lineno or node.lineno


def lines_of(text: str) -> list[str]:
    r"""The lines of a text as Python counts them, ends kept; `str.splitlines` also splits at `\f` and others.

    >>> lines_of("one\ftwo\r\nthree")
    ['one\x0ctwo\r\n', 'three']
    """
    return re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", text)


def newline_of(text: str) -> str:
    """How the lines of a text end."""
    return "\r\n" if "\r\n" in text else "\n"


def indented(text: str, margin: str) -> str:
    """Source text with a margin before each line that is not empty."""
    return "".join(margin + line if line.strip() else line for line in lines_of(text))


def imports(exercises: Sequence[Exercise], width: int) -> str:
    """Import statements for all that the exercises' modules have in scope, but what the work file defines.

    A module's private names are there only where an exercise's docstring speaks of them, and names that are
    Python's own, such as `sum`, are not: which of both is meant depends on the module. Lines are at most
    `width` columns where the names allow; the order is that of isort.
    """
    defined = {exercise.name.split(".")[0] for exercise in exercises}
    spoken_of = set(re.findall(r"\b_\w+", "\n".join(map(_docstring, exercises))))
    straight: dict[Alias, None] = {}
    chosen: dict[str, tuple[str, str]] = {}  # (module, name there); the first one wins
    for module in dict.fromkeys(exercise.module for exercise in exercises):
        for source, name, known_as in _scope(module):
            private = known_as.startswith("_") and known_as not in spoken_of
            if known_as in defined or private or known_as in BUILTINS:
                continue
            if not name:
                straight[source, known_as] = None
            else:
                chosen.setdefault(known_as, (source, name))
    by_module: dict[str, list[Alias]] = {}
    for known_as, (source, name) in chosen.items():
        by_module.setdefault(source, []).append((name, known_as))
    groups: dict[int, list[str]] = {}
    for source, known_as in sorted(straight):
        alias = f" as {known_as}" if known_as != source else ""
        groups.setdefault(_rank(source), []).append(f"import {source}{alias}\n")
    for source in sorted(by_module):
        groups.setdefault(_rank(source), []).append(_from(source, sorted(by_module[source]), width))
    return "\n".join("".join(lines) for _, lines in sorted(groups.items()))


def hidden_builtins(module: str) -> list[str]:
    """Names of Python's own that mean something else in a module: its functions, or what it imports.

    >>> hidden_builtins("tinytorch.ops.reduce")
    ['max', 'min', 'sum']
    """
    return sorted({known_as for _, _, known_as in _scope(module)} & BUILTINS)


def _docstring(exercise: Exercise) -> str:
    function = find(ast.parse(module_source(exercise.module)), exercise.name)
    return (function and ast.get_docstring(function)) or ""


def _scope(module: str) -> Iterator[tuple[str, str, str]]:
    """(module, name in it or "", name here) of all that a module imports and defines at its top level."""
    for node in statements(ast.parse(module_source(module)).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (
                entry for entry in imported(node) if entry[0] != "__future__" and entry[1] != "TYPE_CHECKING"
            )
        elif isinstance(node, Function | ast.ClassDef | ast.Assign | ast.AnnAssign):
            yield from ((module, name, name) for name in bound(node) if not name.startswith("__"))


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at top level, those under `if TYPE_CHECKING:` and the like among them."""
    for node in body:
        if isinstance(node, ast.If):
            yield from statements(node.body)
        else:
            yield node


def imported(node: ast.stmt) -> list[tuple[str, str, str]]:
    """(module, name in it or "", name here) of each that a statement imports."""
    if isinstance(node, ast.Import):
        return [(alias.name, "", alias.asname or alias.name) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "", alias.name, alias.asname or alias.name) for alias in node.names]
    return []


def _rank(module: str) -> int:
    top = module.split(".")[0]
    return 0 if top in sys.stdlib_module_names else 2 if top == "tinytorch" else 1


def _from(source: str, names: Sequence[Alias], width: int) -> str:
    listed = ", ".join(name if name == known_as else f"{name} as {known_as}" for name, known_as in names)
    line = f"from {source} import {listed}\n"
    if len(line) <= width + 1:
        return line
    inside = textwrap.fill(listed, width, initial_indent="    ", subsequent_indent="    ")
    return f"from {source} import (\n{inside},\n)\n"
