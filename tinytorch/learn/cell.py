"""A notebook's cell put into the work file: the exercise's function, and what stands beside it."""

from __future__ import annotations

import ast
import textwrap
from collections import Counter

from tinytorch.learn.course import Exercise, Lesson
from tinytorch.learn.names import bound
from tinytorch.learn.scope import imported, indented, lines_of, newline_of, statements
from tinytorch.learn.stubs import paste
from tinytorch.learn.work import Function, first_line, functions, is_stub

Definition = Function | ast.ClassDef


def merge(work_text: str, cell: str, exercise: Exercise, lesson: Lesson) -> str:
    """A work file's text with what a cell defines, all else as it was; raises SyntaxError.

    Functions, classes and constants take the place of those of the same name; new ones, and imports that the
    file lacks, come before the exercise. Further methods and constants go into its class, stubs nowhere.
    """
    newline = newline_of(work_text)
    tree = ast.parse(cell)
    own = exercise.name.partition(".")[0]
    text = paste(work_text, exercise, _source(dict(functions(tree))[exercise.name], cell))
    seen: Counter[frozenset[str]] = Counter()  # how often the cell bound these names so far
    for node in tree.body:
        names = frozenset(bound(node))
        if isinstance(node, ast.ClassDef) and node.name == own:
            text = _with_members(text, node, cell, exercise, newline)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            text = _with_imports(text, node, own, newline)
        elif names and _is_free(node, lesson) and not (isinstance(node, Function) and is_stub(node)):
            source = _statement(node, cell).replace("\n", newline)
            text = _put(text, source, names, seen[names], own, newline)
            seen[names] += 1
    return text


def left_out(cell: str, exercise: Exercise, lesson: Lesson) -> list[int]:
    """The lines of statements that `merge` does not keep: they define nothing, or another exercise."""
    own = exercise.name.partition(".")[0]
    found = []
    for number, node in enumerate(ast.parse(cell).body):
        about = number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom)  # of __future__ it binds a name nobody uses
        kept = future or (bound(node) and (own in bound(node) or _is_free(node, lesson)))
        if not kept and not about:
            found.append(node.lineno)
    return found


def _is_free(node: ast.stmt, lesson: Lesson) -> bool:
    """Whether a statement is none that the work file has for an exercise."""
    return {one.name.partition(".")[0] for one in lesson.exercises}.isdisjoint(bound(node))


def _with_imports(text: str, node: ast.Import | ast.ImportFrom, own: str, newline: str) -> str:
    """The text with those imports of a statement that it lacks."""
    there = {entry for part in statements(ast.parse(text).body) for entry in imported(part)}
    missing = [
        alias
        for alias, entry in zip(node.names, imported(node), strict=True)
        if entry not in there and entry[0] != "__future__"
    ]
    if not missing:
        return text
    one = (
        ast.Import(missing)
        if isinstance(node, ast.Import)
        else ast.ImportFrom(node.module, missing, node.level)
    )
    return _before(text, ast.unparse(one) + newline * 2, own)


def _put(text: str, source: str, names: frozenset[str], number: int, own: str, newline: str) -> str:
    """The text with a statement in the place of the one, of this number, that binds its names, or new."""
    lines = lines_of(text)
    there = [node for node in ast.parse(text).body if frozenset(bound(node)) == names]
    if number < len(there):
        lines[first_line(there[number]) - 1 : there[number].end_lineno] = [source]
        return "".join(lines)
    return _before(text, source + newline * 2, own)


def _before(text: str, source: str, own: str) -> str:
    """The text with new source before the exercise, and the comment above that."""
    lines = lines_of(text)
    (node, *_) = (n for n in ast.parse(text).body if isinstance(n, Definition) and n.name == own)
    at = first_line(node) - 1
    while at and lines[at - 1].startswith("#"):
        at -= 1
    lines[at:at] = [source]
    return "".join(lines)


def _with_members(text: str, frame: ast.ClassDef, cell: str, exercise: Exercise, newline: str) -> str:
    """The text with the methods and constants of the exercise's class in a cell, but for stubs."""
    seen: Counter[frozenset[str]] = Counter()
    for part in frame.body:
        names = frozenset(bound(part))
        own = names == {exercise.name.rpartition(".")[2]}
        if not names or own or (isinstance(part, Function) and is_stub(part)):
            continue
        tree, lines = ast.parse(text), lines_of(text)
        function = dict(functions(tree))[exercise.name]
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == frame.name]
        there = [node for one in classes for node in one.body if frozenset(bound(node)) == names]
        margin = lines[function.lineno - 1][: function.col_offset]
        source = _statement(part, cell)
        source = indented(source, margin) if isinstance(part, Definition) else margin + source
        source = source.replace("\n", newline)
        if seen[names] < len(there):
            node = there[seen[names]]
            lines[first_line(node) - 1 : node.end_lineno] = [source]
        elif isinstance(part, Function):
            end = function.end_lineno or function.lineno
            lines[end:end] = [newline, source]
        else:
            at = first_line(function) - 1
            lines[at:at] = [source, newline]
        text = "".join(lines)
        seen[names] += 1
    return text


def _statement(node: ast.stmt, cell: str) -> str:
    """The source of a statement, not indented, with its decorators."""
    if isinstance(node, Definition):
        return textwrap.dedent(_source(node, cell))
    return (ast.get_source_segment(cell, node) or ast.unparse(node)) + "\n"


def _source(node: Definition, cell: str) -> str:
    return "".join(lines_of(cell)[first_line(node) - 1 : node.end_lineno]).rstrip("\r\n") + "\n"
