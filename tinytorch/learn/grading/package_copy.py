"""What goes into the boxes: the package without the exercises' bodies, the checks, and decoys of the checks.

A decoy is a check turned so that it expects something wrong: an honest answer fails it. An answer that
passes a decoy has not computed anything; it got at the checks.
"""

from __future__ import annotations

import ast
import compileall
import importlib.metadata
import py_compile
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise
from tinytorch.learn.scope import module_file
from tinytorch.learn.work import functions, make_stub
from tinytorch.learn.workspace import DISTRIBUTION

PACKAGE = Path(__file__).resolve().parents[2]
NOT_COPIED = ("__pycache__", "lessons", "milestones", "*.pyc")
_MARK = "decoy"  # stands in no message of an error


def package_without(exercises: Iterable[Exercise], folder: Path) -> Path:
    """Copy the package into `folder` with the bodies of these exercises taken out; returns the folder.

    Comments go as well, and no compiled file of the reference comes along.
    """
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns(*NOT_COPIED))
    by_module: dict[str, list[str]] = {}
    for exercise in exercises:
        by_module.setdefault(exercise.module, []).append(exercise.name)
    for module, names in by_module.items():
        path = folder / module_file(module).relative_to(PACKAGE.parent)
        path.write_text(without_bodies(path.read_text(encoding="utf-8"), names, module), encoding="utf-8")
    _describe(folder)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder / PACKAGE.name, quiet=2, invalidation_mode=mode)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _describe(folder: Path) -> None:
    """Say beside a copy which distribution it is: reports of measurements name its version."""
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    place = folder / f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    place.mkdir()
    text = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n"
    (place / "METADATA").write_text(text, encoding="utf-8")


def without_bodies(source: str, names: Iterable[str], module: str) -> str:
    """A module's text in which these functions raise NotImplementedError; raises LearnError for one it lacks.

    >>> print(without_bodies("def f(a):\\n    return 2 * a", ["f"], "m"))
    def f(a):
        raise NotImplementedError('f')
    """
    tree = ast.parse(source)
    for name in names:
        places = [node for found, node in functions(tree) if found == name]
        if not places:
            raise LearnError(f"{module} has no function {name}, which lesson.toml names as an exercise")
        for node in places:
            make_stub(node, name)
    return ast.unparse(ast.fix_missing_locations(tree))


# ---------------------------------------------------------------- checks and decoys


def copy_checks(checks: Path, folder: Path) -> set[str]:
    """Copy checks into `folder`, each with a decoy beside it; returns the names of the decoys' files.

    The names are drawn, so that they tell nothing and put checks and decoys in an order that nobody knows.
    """
    ignored = shutil.ignore_patterns("__pycache__", "conftest.py", "*.pyc", ".*")
    shutil.copytree(checks, folder, ignore=ignored)
    decoys = set()
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not path.name.startswith("test_") and not re.search(r"^\s*def test", text, re.MULTILINE):
            continue  # a helper
        path.rename(folder / f"test_{secrets.token_hex(4)}_{path.stem.removeprefix('test_')}.py")
        turned = decoy(text)
        if turned is not None:
            name = f"test_{secrets.token_hex(4)}_{path.stem.removeprefix('test_')}.py"
            (folder / name).write_text(turned, encoding="utf-8")
            decoys.add(name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return decoys


def decoy(source: str) -> str | None:
    """A file of checks that expect something wrong; None where no check in it can be turned.

    >>> text = 'from tinytorch.learn import expect\\ndef test_a():\\n    expect.true("f(1)", "that holds")'
    >>> print(decoy(text))
    from tinytorch.learn import expect
    from tinytorch.learn.grading.decoy import other
    def test_a():
        expect.true('not (' + 'f(1)' + ')', 'that holds')
    """
    tree = ast.parse(source)
    turn = _Turn()
    kept: list[ast.stmt] = []
    for node in tree.body:
        before = turn.turned
        turn.visit(node)
        is_check = isinstance(node, ast.FunctionDef) and node.name.startswith("test")
        if turn.turned > before or not is_check:
            kept.append(node)
    if not turn.turned:
        return None
    after = 1 + max((i for i, n in enumerate(kept) if isinstance(n, ast.Import | ast.ImportFrom)), default=-1)
    kept[after:after] = ast.parse("from tinytorch.learn.grading.decoy import other").body
    lines = ast.unparse(ast.fix_missing_locations(ast.Module(kept, []))).splitlines()
    return "\n".join(line for line in lines if line.strip())


class _Turn(ast.NodeTransformer):
    """Turns each call of `expect` into one that an honest answer fails."""

    def __init__(self) -> None:
        self.turned = 0

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """Turn one call."""
        self.generic_visit(node)
        name = node.func
        if not (
            isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "expect"
        ):
            return node
        kind, arguments = name.attr, node.args
        if kind in ("close", "equal") and len(arguments) > 1:
            arguments[1] = ast.Call(ast.Name("other", ast.Load()), [arguments[1]], [])
        elif kind in ("close", "equal") and (wants := [k for k in node.keywords if k.arg == "want"]):
            wants[0].value = ast.Call(ast.Name("other", ast.Load()), [wants[0].value], [])
        elif kind == "true" and arguments:
            negated = ast.BinOp(ast.Constant("not ("), ast.Add(), arguments[0])
            arguments[0] = ast.BinOp(negated, ast.Add(), ast.Constant(")"))
        elif kind == "raises" and len(arguments) > 1:
            arguments.append(ast.Constant(f"{_MARK} {secrets.token_hex(8)}"))
        elif kind == "gradient":
            node.keywords = [k for k in node.keywords if k.arg not in ("rtol", "atol")]
            node.keywords += [ast.keyword(arg, ast.Constant(-1.0)) for arg in ("rtol", "atol")]
        else:
            return node
        self.turned += 1
        return node
