"""What is timed, as a loop with its clock: a callable or code; and how another process finds it."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import symtable
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

from tinytorch.errors import ProfilingError
from tinytorch.profiling.subject import subject_of

Loop = Callable[[Iterator[None]], int]  # does its work once for each item; the nanoseconds that took
T = TypeVar("T")
MAIN = "__profiled_main__"  # the name under which a fresh process loads the script that started it
_LONGEST = 40  # characters of code that serve as its name


@dataclass(frozen=True)
class Arm:
    """One thing to time: `loop` does it once for each item it is given; `bare` is that loop with no work."""

    name: str
    loop: Loop
    bare: Loop


def arm_of(
    what: Callable[..., Any] | str,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    setup: str = "",
) -> Arm:
    """The loop of a callable with its arguments, or of code after its setup.

    Raises ProfilingError for what cannot be called, and for code or setup that does not compile or run.

    >>> arm_of("sum(range(3))").name, arm_of(sorted, args=([2, 1],)).name
    ('sum(range(3))', 'sorted')
    """
    if isinstance(what, str):
        return Arm(short(what), code_loop(what, setup), code_loop("pass", ""))
    return call_arm(what, args, kwargs)


def call_arm(
    function: Callable[..., Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Arm:
    """The loop of a callable with its arguments; raises ProfilingError where they do not fit.

    >>> call_arm(sorted, ([2, 1],)).name
    'sorted'
    """
    subject = subject_of(function, args, kwargs)
    given = subject.args or subject.kwargs
    call = functools.partial(function, *subject.args, **subject.kwargs) if given else function
    return Arm(subject.name, call_loop(call), call_loop(_nothing))


def arms_of(
    those: Sequence[Callable[..., Any] | str],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    setup: str = "",
    seed: int = 0,
) -> list[Arm]:
    """Several arms, made in random order, so that none always gets the same place in memory.

    >>> [arm.name for arm in arms_of(["1 + 1", "2 + 2"], seed=3)]
    ['1 + 1', '2 + 2']
    """
    order = np.random.default_rng(seed).permutation(len(those)).tolist()
    made = {i: arm_of(those[i], args, kwargs, setup) for i in order}
    return [made[i] for i in range(len(those))]


def call_loop(call: Callable[[], object]) -> Loop:
    """A loop that calls once for each item, in a code object of its own.

    The interpreter remembers at each place what was called there, and calls that again faster. Arms that
    shared a loop, or the place that reads the clock around it, would differ by that (1 % of 0.5 us).
    """
    return functools.partial(FunctionType(_called.__code__.replace(), globals(), "call_loop"), call)


def _called(call: Callable[[], object], times: Iterator[None]) -> int:
    start = perf_counter_ns()
    for _ in times:
        call()
    return perf_counter_ns() - start


def _nothing() -> None: ...


def short(code: str) -> str:
    """Code in one line that is not too long.

    >>> short("x = 1\\ny = 2")
    'x = 1; y = 2'
    """
    line = "; ".join(part.strip() for part in code.strip().splitlines() if part.strip())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


# ---------------------------------------------------------------- code


def code_loop(code: str, setup: str) -> Loop:
    """A function that runs the code once for each item, with no call in between, in a namespace of its own.

    `tt` and `np` are in it, and what the setup, which runs now, leaves there. Names that the code sets are
    local, and so fast, unless the setup has them already.
    """
    namespace: dict[str, Any] = {"tt": _tinytorch(), "np": np, "__name__": "__timed__"}
    with_code(setup, "setup", lambda: exec(_compiled(setup, "setup"), namespace))
    made: dict[str, Any] = {"clock": perf_counter_ns}
    with_code(code, "code", lambda: exec(_compiled(_looped(code, namespace), "code"), made))
    loop: Loop = FunctionType(made[_FUNCTION].__code__, namespace, "code", (perf_counter_ns,))
    return lambda times: with_code(code, "code", lambda: loop(times))


def with_code(code: str, what: str, run: Callable[[], T]) -> T:
    """Run, and say which code it was when it raises: ProfilingError, from the error itself."""
    try:
        return run()
    except (Exception, SystemExit) as error:
        raise ProfilingError(f"{what} {short(code)!r}: {_described(error)}") from error


_FUNCTION = "_timed_function"
_SKELETON = f"""
def {_FUNCTION}(_timed_times, _timed_clock=clock):
    _timed_start = _timed_clock()
    for _timed_item in _timed_times:
        pass
    return _timed_clock() - _timed_start
"""


def _looped(code: str, namespace: Mapping[str, Any]) -> ast.Module:
    """The code in a loop in a function. It must compile by itself first: a `break` may not find our loop."""
    _compiled(code, "code")
    body = ast.parse(code).body or [ast.Pass()]
    table = symtable.symtable(code, "<code>", "exec")
    shared = sorted(
        s.get_name() for s in table.get_symbols() if s.is_assigned() and s.get_name() in namespace
    )
    skeleton = ast.parse(_SKELETON)
    function = skeleton.body[0]
    assert isinstance(function, ast.FunctionDef)
    loop = function.body[1]
    assert isinstance(loop, ast.For)
    loop.body = body
    if shared:
        function.body.insert(0, ast.Global(shared))
    return ast.fix_missing_locations(skeleton)


def _compiled(code: str | ast.Module, what: str) -> CodeType:
    return compile(code, f"<{what}>", "exec")


def _described(error: BaseException) -> str:
    """The kind of an error and what it says, in a line."""
    if isinstance(error, SyntaxError):
        place = f" (line {error.lineno})" if error.lineno is not None and error.lineno > 1 else ""
        return f"{type(error).__name__}: {error.msg}{place}"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _tinytorch() -> ModuleType:
    return importlib.import_module("tinytorch")


# ---------------------------------------------------------------- what another process can find


def reference(function: Callable[..., Any] | str) -> dict[str, str]:
    """By what a fresh process finds a function: module (or file) and name; code is its own reference.

    Raises ProfilingError for what has no such name: lambdas, inner functions, bound methods, partials.

    >>> reference(short) == {"module": "tinytorch.profiling.timing.arms", "name": "short"}
    True
    """
    if isinstance(function, str):
        return {"code": function}
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    found: Any = sys.modules.get(str(module))
    for part in str(name).split("."):
        found = getattr(found, part, None)
    if found is not function:
        raise ProfilingError(
            f"{name or function!r} has no name by which a fresh process finds it: define it with `def` at "
            "the top of a module, or pass code as text, with setup="
        )
    if module != "__main__":
        return {"module": str(module), "name": str(name)}
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return {"module": str(spec.name), "name": str(name)}
    if file is None:
        raise ProfilingError(f"{name} was typed in, so no fresh process finds it: put it into a file")
    return {"file": str(file), "name": str(name)}


def resolved(found: Mapping[str, str]) -> Callable[..., Any] | str:
    """What a reference of another process names.

    >>> resolved(reference(short)) is short
    True
    """
    if "code" in found:
        return found["code"]
    value: Any = _loaded(found["file"]) if "file" in found else importlib.import_module(found["module"])
    for part in found["name"].split("."):
        value = getattr(value, part)
    function: Callable[..., Any] = value
    return function


def _loaded(file: str) -> ModuleType:
    """The script as a module that is not `__main__`, loaded once."""
    if MAIN not in sys.modules:
        spec = importlib.util.spec_from_file_location(MAIN, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[MAIN] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[MAIN])
    return sys.modules[MAIN]
