"""Reads submitted work files, without running them, for constructs that reach beyond what an exercise needs.

As a program it runs in a box of its own, for the files it parses are not trusted: a list of files (JSON)
comes on standard input, what was found in each goes to standard output. It uses the standard library
alone.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OTHERS = {"numpy", "scipy", "tinytorch"}  # what may be imported beside these modules of the standard library:
ORDINARY = _words(
    """__future__ abc array base64 bisect cmath collections colorsys contextlib copy csv dataclasses
    datetime decimal difflib enum fractions functools hashlib heapq io itertools json math numbers
    operator pathlib random re secrets statistics string struct tempfile textwrap time typing
    unicodedata warnings zlib"""
)
MODULES = _words(
    """_pytest _thread ast asyncio atexit builtins concurrent ctypes dis doctest faulthandler gc importlib
    inspect linecache marshal mmap multiprocessing os pdb pickle pkgutil posix pytest runpy
    signal socket subprocess sys sysconfig threading timeit traceback unittest weakref"""
)
PACKAGES = ("tinytorch.learn", "tinytorch.cli", "numpy.ctypeslib", "numpy.testing", "numpy.f2py")
NAMES = _words(
    """__builtins__ __import__ __loader__ __spec__ __tito_ran__ compile delattr eval exec expect globals
    locals vars"""
)
ATTRIBUTES = _words(
    """__base__ __bases__ __builtins__ __closure__ __code__ __defaults__ __delattr__ __dict__ __func__
    __getattribute__ __globals__ __import__ __kwdefaults__ __loader__ __mro__ __reduce__ __reduce_ex__
    __self__ __setattr__ __spec__ __subclasses__ __traceback__ __wrapped__ ForwardRef _current_frames
    _getframe ag_code ag_frame arm_of attrgetter co_code co_consts cr_code cr_frame ctypeslib
    currentframe expect f2py f_back f_builtins f_code f_globals f_locals f_trace get_field get_objects
    get_referents get_referrers get_type_hints gi_code gi_frame learn make_dataclass methodcaller mro
    safe_eval setprofile settrace tb_frame tb_next with_traceback"""
)
BY_NAME = ("getattr", "setattr", "hasattr")  # harmless with a name that stands there as text
COMMON = {"signal"}  # also a common word for an attribute

Function = ast.FunctionDef | ast.AsyncFunctionDef


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) for each construct in a function or statement that serves to reach into the interpreter.

    >>> list(offences(ast.parse("def f(a):\\n    return a.f_back")))
    [(2, '.f_back')]
    """
    local, own = _local_names(tree), _own(tree)
    uses = [use for node in ast.walk(tree) if isinstance(node, ast.Call) for use in _uses(node)]
    called = {id(function) for function, _ in uses}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_name(node.func, "vars")]
    called |= {id(node.func) for node in calls if node.args and not _foreign(node.args[0], local)}
    for function, arguments in uses:
        yield from ((function.lineno, what) for what in _by_name(function.id, arguments, local, own))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            yield from ((line, f"import {a.name}") for a in node.names if not _importable(a.name))
        elif isinstance(node, ast.ImportFrom):
            yield from ((line, f"import {name}") for name in _from(node) if not _importable(name))
        elif isinstance(node, ast.Name):
            aside = node.id in NAMES or node.id in BY_NAME
            if (aside and id(node) not in called) or node.id in MODULES - local:
                yield line, node.id
        elif isinstance(node, ast.Attribute):
            if not _attribute(node.attr) and not (
                node.attr == "__dict__" and not _foreign(node.value, local)
            ):
                yield line, f".{node.attr}"
            if isinstance(node.ctx, ast.Store | ast.Del) and (root := _foreign(node.value, local)):
                yield line, f"a change of {root}"
        elif isinstance(node, ast.MatchClass):
            yield from ((line, f".{name}") for name in node.kwd_attrs if not _attribute(name))


def _uses(node: ast.Call) -> Iterator[tuple[ast.Name, list[ast.expr]]]:
    """Calls of getattr and its like with their arguments, `later(setattr, a, "b", c)` among them."""
    row = [node.func, *node.args]
    for place, part in enumerate(row):
        if isinstance(part, ast.Name) and part.id in BY_NAME:
            yield part, row[place + 1 :]


def _by_name(function: str, arguments: list[ast.expr], local: set[str], own: str) -> Iterator[str]:
    if len(arguments) > 1 and _is_name(arguments[0], own):
        return
    name = arguments[1] if len(arguments) > 1 else None
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str) and _attribute(name.value)):
        yield f"{function} with a computed name"
    elif function == "setattr" and (root := _foreign(arguments[0], local)):
        yield f"a change of {root}"


def _own(tree: ast.AST) -> str:
    """The name by which a method knows its object, if nothing else goes by it; else empty."""
    if not isinstance(tree, Function) or not tree.args.args or tree.args.args[0].arg != "self":
        return ""
    others = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Name) and n.id == "self" and isinstance(n.ctx, ast.Store)
    ]
    arguments = [n for n in ast.walk(tree) if isinstance(n, ast.arg) and n.arg == "self"]
    return "" if others or len(arguments) > 1 else "self"


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _attribute(name: str) -> bool:
    """Whether a name may follow a dot; `_sys` and the like are modules that others import for themselves."""
    return (
        name not in ATTRIBUTES and name not in MODULES - COMMON and name.lstrip("_") not in MODULES - COMMON
    )


def _importable(name: str) -> bool:
    top = name.split(".")[0]
    if any(f"{name}.".startswith(f"{package}.") for package in PACKAGES) or not all(
        map(_attribute, name.split("."))
    ):
        return False
    return top in OTHERS or top in ORDINARY


def _from(node: ast.ImportFrom) -> Iterator[str]:
    """Full names of what a from-import brings in; a star could bring in anything."""
    if node.level:
        yield "tinytorch.learn"  # relative: there is nothing beside a work file
    for alias in node.names:
        yield f"{node.module}.{alias.name}" if alias.name != "*" else "pytest"


def _local_names(tree: ast.AST) -> set[str]:
    """Arguments and names that are bound somewhere in a piece of code."""
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return names | {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _foreign(node: ast.expr, local: set[str]) -> str:
    """The name an expression starts from, if that is neither an argument nor bound here; empty if it is."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) and node.id not in local else ""


# ---------------------------------------------------------------- one file


def parts_of(work: ast.Module, function: Function) -> list[ast.stmt]:
    """The function and the top-level statements of its file that it names, directly or through others."""
    defined: dict[str, list[ast.stmt]] = {}
    for node in work.body:
        for name in _bound(node):
            defined.setdefault(name, []).append(node)
    parts: list[ast.stmt] = [function]
    for part in parts:  # grows as it is walked
        for inner in ast.walk(part):
            for node in defined.get(inner.id, []) if isinstance(inner, ast.Name) else []:
                if node not in parts:
                    parts.append(node)
    return parts


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    return [
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    ]


def review(path: str, wanted: Mapping[str, set[str]], work: Any) -> dict[str, Any]:
    """What a work file holds of the `wanted` exercises: {name: its offences}, or the error in it.

    `wanted` also tells what each exercise may use because the reference does.
    """
    try:
        tree = work.parse(path)
        functions = dict(work.functions(tree))
        started = [name for name in wanted if name in functions and not work.is_stub(functions[name])]
        found: dict[str, list[tuple[int, str]]] = {}
        for name in started:
            all_found = [offence for part in parts_of(tree, functions[name]) for offence in offences(part)]
            found[name] = [(line, what) for line, what in sorted(set(all_found)) if what not in wanted[name]]
    except SyntaxError as error:
        return {"error": f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)}
    except (ValueError, RecursionError, MemoryError, LookupError) as error:
        return {"error": f"Python cannot read it: {type(error).__name__}: {error}"}
    return {"exercises": found}


def load_work(path: Path) -> Any:
    """The module `work` by its file, without importing the package; `child` says why it does it itself."""
    spec = importlib.util.spec_from_file_location("tito_work", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tito_work"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Review all files of one submission."""
    work = load_work(Path(__file__).parents[1] / "work.py")
    files = json.loads(sys.stdin.buffer.read())
    for path, wanted in files.items():
        result = review(path, {name: set(allowed) for name, allowed in wanted.items()}, work)
        sys.stdout.write(json.dumps([path, result]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
