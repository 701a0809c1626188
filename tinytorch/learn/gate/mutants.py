"""Wrong answers to the exercises: by hand, empty or constant, and mutants that a library makes (mutmut)."""

from __future__ import annotations

import ast
import contextlib
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import libcst as cst

from tinytorch.errors import LearnError
from tinytorch.learn import work
from tinytorch.learn.checks import ROOT
from tinytorch.learn.course import Exercise, Lesson
from tinytorch.learn.scope import module_source

CONSTANTS = ("None", "0", "1.0", "True", "''", "()")


@dataclass(frozen=True)
class Mutant:
    """A wrong answer to an exercise, as the text of a work file, and the part of the gate that it is for.

    It is known by `change`: the name of its file, what it returns, or the changed line before and after.
    `alone`: whether it is one function that is called as the reference is, so that it can be put in the
    place of the loaded one.
    """

    exercise: Exercise
    change: str
    text: str
    part: str
    alone: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What a list of survivors knows it by."""
        return self.exercise.name, self.change


@dataclass(frozen=True)
class Survivor:
    """A mutant that no check kills, and why that is as it should be or what is missing."""

    exercise: str
    change: str
    reason: str


@cache
def _functions(module: str) -> dict[str, work.Function]:
    return dict(work.functions(ast.parse(module_source(module))))


def plain_function(exercise: Exercise) -> work.Function:
    """The reference as a tree without docstring, decorators and annotations; raises LearnError."""
    found = _functions(exercise.module).get(exercise.name)
    if found is None:
        raise LearnError(f"{exercise.id}: the module has no function of that name")
    return _plain(found)


def _plain(function: ast.stmt) -> work.Function:
    node = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(node, work.Function)
    node.decorator_list, node.returns = [], None
    for part in ast.walk(node):
        if isinstance(part, ast.arg):
            part.annotation = None
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def lines_of(exercise: Exercise) -> int:
    """Lines of the body of the reference, docstring and signature left out."""
    node = _functions(exercise.module)[exercise.name]
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def as_work(exercise: Exercise, function: str) -> str:
    """A work file that holds one function."""
    owner, _, method = exercise.name.rpartition(".")
    return f"class {owner}:\n{textwrap.indent(function, '    ')}\n" if method and owner else f"{function}\n"


def written(exercise: Exercise, path: Path) -> Mutant:
    """A wrong answer that was written by hand."""
    tree = work.parse(path)
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    if len(body) == 1 and isinstance(body[0], ast.ClassDef):
        body = body[0].body
    alone = len(body) == 1 and isinstance(body[0], work.Function) and not body[0].decorator_list
    if alone:
        calls = [ast.unparse(node.args) for node in (_plain(body[0]), plain_function(exercise))]
        alone = calls[0] == calls[1]
    return Mutant(exercise, path.name, path.read_text(encoding="utf-8"), "mutants", alone)


def constant_answers(exercise: Exercise) -> Iterator[Mutant]:
    """The exercise with its body commented out (which gives None) or returning a constant."""
    node = plain_function(exercise)
    for value in CONSTANTS:
        node.body = ast.parse(f"def f():\n    return {value}").body[0].body  # type: ignore[attr-defined]
        text = ast.unparse(ast.fix_missing_locations(node))
        yield Mutant(exercise, f"return {value}", as_work(exercise, text), "empty")


def generated(exercise: Exercise) -> list[Mutant]:
    """All mutants that mutmut makes of an exercise's body, each once; raises LearnError without mutmut."""
    try:
        from mutmut.mutation.file_mutation import create_mutations
    except ImportError:
        raise LearnError('generated mutants need mutmut: pip install -e ".[dev]"') from None
    original = as_work(exercise, ast.unparse(plain_function(exercise)))
    with contextlib.chdir(ROOT):  # where mutmut looks for its settings
        module, mutations, *_ = create_mutations("exercise.py", original)
    seen = {ast.dump(ast.parse(original))}
    mutants = []
    for mutation in mutations:
        if _is_wording(module, mutation.original_node, mutation.mutated_node):
            continue
        changed = module.deep_replace(mutation.original_node, mutation.mutated_node)
        assert isinstance(changed, cst.Module)
        text = changed.code
        try:
            tree = ast.dump(ast.parse(text))
        except SyntaxError:
            continue
        if tree not in seen:
            seen.add(tree)
            mutants.append(Mutant(exercise, _change(original, text), text, "generated"))
    return _numbered(mutants)


def _is_wording(module: cst.Module, before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether a change concerns only what an error says: the words of errors are the learner's own.

    These are all changes below `raise`, and those of a text that is handed to a call.
    """
    finder = _Wording(before)
    module.visit(finder)
    text = isinstance(before, cst.SimpleString | cst.FormattedString | cst.FormattedStringText)
    return finder.in_raise or (finder.in_call and (text or _of_text(before, after)))


def _of_text(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether an argument that is a text was dropped or changed to None."""
    if isinstance(before, cst.Call) and isinstance(after, cst.Call):
        kept = {id(a.value) for a in after.args}
        gone = [a.value for a in before.args if id(a.value) not in kept]
        return bool(gone) and all(isinstance(v, cst.SimpleString | cst.FormattedString) for v in gone)
    return False


class _Wording(cst.CSTVisitor):
    """Finds out whether a node lies below a `raise` or a call."""

    def __init__(self, node: cst.CSTNode) -> None:
        super().__init__()
        self.node, self.above = node, [""]
        self.in_raise = self.in_call = False

    def on_visit(self, node: cst.CSTNode) -> bool:
        if node is self.node:
            self.in_raise, self.in_call = (
                "Raise" in self.above,
                "Call" in self.above or isinstance(node, cst.Call),
            )
        self.above.append(type(node).__name__)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.above.pop()


def _change(before: str, after: str) -> str:
    """The first line that differs, before and after."""
    for old, new in zip(before.splitlines(), after.splitlines(), strict=False):
        if old != new:
            return f"{old.strip()} -> {new.strip()}"
    return "lines at the end were dropped"


def _numbered(mutants: list[Mutant]) -> list[Mutant]:
    """Mutants of equal lines told apart by a number."""
    counts: dict[str, int] = {}
    out = []
    for mutant in mutants:
        counts[mutant.change] = counts.get(mutant.change, 0) + 1
        number = counts[mutant.change]
        change = mutant.change if number == 1 else f"{mutant.change} [{number}]"
        out.append(replace(mutant, change=change))
    return out


def survivors(lesson: Lesson) -> list[Survivor]:
    """What `mutants/survivors.toml` lists; raises LearnError for entries without a reason."""
    path = lesson.folder / "mutants" / "survivors.toml"
    if not path.is_file():
        return []
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
        found = [Survivor(str(e["exercise"]), str(e["change"]), str(e["reason"]).strip()) for e in entries]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise LearnError(f"{path}: {error}") from None
    if not all(s.reason for s in found):
        raise LearnError(f"{path}: a survivor has no reason")
    return found
