"""A lesson's work file made from the package: signatures and docstrings kept, bodies left to the learner."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence

import libcst as cst

from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise, Lesson
from tinytorch.learn.scope import (
    find,
    hidden_builtins,
    imports,
    indented,
    lines_of,
    module_source,
    newline_of,
    span,
)
from tinytorch.learn.work import OTHERS

WIDTH = 100  # columns of a work file's own lines
TODO = "# TODO: your code, in the place of the next line"


def reference(exercise: Exercise) -> str:
    """The reference of an exercise: the function's source with decorators and docstring, not indented."""
    source = module_source(exercise.module)
    node = find(ast.parse(source), exercise.name)
    if node is None:
        raise LearnError(f"{exercise.module} has no function {exercise.name}")
    first, last = span(node)
    return textwrap.dedent("".join(lines_of(source)[first - 1 : last]))


def head(source: str, name: str) -> str | None:
    """Decorators, signature and docstring of a function in a source, in one normal form; None without it.

    >>> print(head("def f(a,b = 1):\\n    '''Add.'''\\n    return a + b", "f"))
    def f(a, b=1):
        \"\"\"Add.\"\"\"
    """
    node = find(ast.parse(source), name)
    if node is None:
        return None
    text = ast.get_docstring(node)
    node.body = [ast.Expr(ast.Constant(text if text is not None else ...))]
    return ast.unparse(node)


def current_head(exercise: Exercise) -> str:
    """What `head` gives for an exercise as the package has it now; raises LearnError."""
    found = head(module_source(exercise.module), exercise.name)
    if found is None:
        raise LearnError(f"{exercise.module} has no function {exercise.name}")
    return found


# ---------------------------------------------------------------- stubs


def stub(exercise: Exercise) -> str:
    """The function of an exercise with its body left out, not indented."""
    owner = exercise.name.rpartition(".")[0]
    code = _module([_emptied(exercise, [])], owner).code
    if owner:
        code = textwrap.dedent(code.split("\n", 1)[1])
    return code.strip("\n") + "\n"


def stub_file(lesson: Lesson) -> str:
    """The whole work file of a lesson.

    A docstring says what it is, a TYPE_CHECKING block tells editors the names that the code will find in the
    package, and each exercise stands under a line with its place there. Raises LearnError.
    """
    names = ", ".join(dict.fromkeys(e.place.split(",")[0] for e in lesson.exercises))
    readme, start = f"lessons/{lesson.folder.name}/README.md", f"tito start {lesson.label}"
    sentences = [
        f"What to do stands in {readme}; `{start}` says where that is.",
        f"Check your code with `tito check {lesson.label}`. It runs in the place of the functions of the "
        f"same names in {names}, and may use what its module defines or imports, and the names below.",
        "This file is not a program of its own.",
    ]
    about = "\n\n".join(textwrap.fill(text, WIDTH, break_long_words=False) for text in sentences)
    text = f'"""Lesson {lesson.label}, {lesson.title}: your code.\n\n{about}\n"""\n\n'
    text += "from __future__ import annotations\n"
    known = imports(lesson.exercises, WIDTH - 4)
    if known:
        text += "\nfrom typing import TYPE_CHECKING\n\n"
        text += "if TYPE_CHECKING:  # for your editor: your code finds these names without importing them\n"
        text += textwrap.indent(known, "    ")
    return text + stubs(lesson, lesson.exercises)


def stubs(lesson: Lesson, exercises: Iterable[Exercise]) -> str:
    """Exercises of a lesson as they stand in a work file; those of one class in a row share its block."""
    text = ""
    places = itertools.groupby(exercises, lambda e: (e.module, e.name.rpartition(".")[0]))
    for (module, owner), group in places:
        functions = []
        for exercise in group:
            number = lesson.exercises.index(exercise) + 1
            title = f"# Exercise {number} of {len(lesson.exercises)}: {exercise.name}, in {exercise.place}"
            hidden = hidden_builtins(module)
            note = (
                f"# Here {' and '.join(hidden)} are functions of the module, not Python's own."
                if hidden
                else ""
            )
            functions.append(_emptied(exercise, [title, note] if note else [title]))
        if owner:
            text += "\n\n" + _module(functions, owner, _class(module, owner)).code.strip("\n") + "\n"
        else:
            text += "".join("\n\n" + _module([f]).code.strip("\n") + "\n" for f in functions)
    return text


def with_stubs(work_text: str, lesson: Lesson, exercises: Iterable[Exercise]) -> str:
    """A work file's text with the stubs of exercises that it lacks at its end."""
    newline = newline_of(work_text)
    return work_text.rstrip() + newline + stubs(lesson, exercises).replace("\n", newline)


def _module(
    functions: Sequence[cst.FunctionDef], owner: str = "", model: cst.ClassDef | None = None
) -> cst.Module:
    """A module of functions, in a class block where there is an owner; `model` lends it the docstring."""
    if not owner:
        return cst.Module(body=functions)
    text = _without_gradient(_docstring(model.body)) if model is not None else None
    body: list[cst.BaseStatement] = [text] if text is not None else []
    for function in functions:
        apart = [cst.EmptyLine(indent=False)] if body else []
        body.append(function.with_changes(leading_lines=[*apart, *function.leading_lines]))
    return cst.Module(body=[cst.ClassDef(name=cst.Name(owner), body=cst.IndentedBlock(body))])


def _emptied(exercise: Exercise, comments: Sequence[str]) -> cst.FunctionDef:
    """The function with its docstring as the whole body, then the line to replace; comments above it."""
    found = _function(exercise)
    text = _docstring(found.body)
    todo = cst.parse_statement(f'raise NotImplementedError("{exercise.name}")')
    todo = todo.with_changes(leading_lines=[cst.EmptyLine(comment=cst.Comment(TODO))])
    plain = found.visit(_NoRemarks())
    assert isinstance(plain, cst.FunctionDef)
    return plain.with_changes(
        leading_lines=[cst.EmptyLine(comment=cst.Comment(line)) for line in comments],
        lines_after_decorators=(),
        body=cst.IndentedBlock([*([text] if text else []), todo]),
    )


class _NoRemarks(cst.CSTTransformer):
    """Takes away what was said to linters at the ends of a signature's lines."""

    def leave_TrailingWhitespace(  # noqa: N802 - libcst's name
        self, original_node: cst.TrailingWhitespace, updated_node: cst.TrailingWhitespace
    ) -> cst.TrailingWhitespace:
        return updated_node.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))


def _docstring(body: cst.BaseSuite) -> cst.SimpleStatementLine | None:
    """The statement of a function's or class's docstring."""
    first = body.body[0] if isinstance(body, cst.IndentedBlock) and body.body else None
    if not isinstance(first, cst.SimpleStatementLine) or not isinstance(first.body[0], cst.Expr):
        return None
    if not isinstance(first.body[0].value, cst.SimpleString | cst.ConcatenatedString):
        return None
    return first.with_changes(leading_lines=(), trailing_whitespace=cst.TrailingWhitespace())


def _without_gradient(text: cst.SimpleStatementLine | None) -> cst.SimpleStatementLine | None:
    """An op's docstring without its rule, "   da = ...": that is for the learner to find."""
    if text is None or not isinstance(text.body[0], cst.Expr):
        return text
    string = text.body[0].value
    if not isinstance(string, cst.SimpleString):
        return text
    value = re.sub(r" {3,}d\w+ = [^\n\"]*", "", string.value)
    return text.with_changes(body=[cst.Expr(string.with_changes(value=value))])


@functools.lru_cache(maxsize=32)
def _parsed(source: str) -> cst.Module:
    return cst.parse_module(source)


def _class(module: str, name: str) -> cst.ClassDef:
    for node in _parsed(module_source(module)).body:
        if isinstance(node, cst.ClassDef) and node.name.value == name:
            return node
    raise LearnError(f"{module} has no class {name}")


def _function(exercise: Exercise) -> cst.FunctionDef:
    """The exercise's function as libcst sees it: the one that `find` finds."""
    owner, _, name = exercise.name.rpartition(".")
    whole = _parsed(module_source(exercise.module))
    scope: Sequence[cst.CSTNode] = _class(exercise.module, owner).body.body if owner else whole.body
    kept = []
    for node in scope:
        if isinstance(node, cst.FunctionDef) and node.name.value == name:
            decorators = {whole.code_for_node(d.decorator).rpartition(".")[2] for d in node.decorators}
            kept += [] if decorators & OTHERS else [node]
    if not kept:
        raise LearnError(f"{exercise.module} has no function {exercise.name}")
    return kept[-1]


# ---------------------------------------------------------------- pasting


def paste(work_text: str, exercise: Exercise, function_source: str) -> str:
    """A work file's text with a function in the place of the exercise's; at its end where it has none.

    What stands around it stays as it is: comments, line ends, indentation with tabs. Raises SyntaxError for
    a work file that does not parse.
    """
    newline = newline_of(work_text)
    function = inspect.cleandoc("\n" + function_source.replace("\r\n", "\n")) + "\n"
    node = find(ast.parse(work_text), exercise.name)
    if node is None:
        owner = exercise.name.rpartition(".")[0]
        block = f"class {owner}:\n{indented(function, '    ')}" if owner else function
        return f"{work_text.rstrip()}\n\n\n{block}".replace("\r\n", "\n").replace("\n", newline)
    lines = lines_of(work_text)
    first, last = span(node)
    margin = lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip(" \t"))]
    lines[first - 1 : last] = [indented(function, margin).replace("\n", newline)]
    return "".join(lines)
