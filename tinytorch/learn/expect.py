"""What checks say: a call as text, what it must give, and where what came back differs."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
import pytest

from tinytorch.tensor import Tensor

NOTHING = "Nothing was returned: is a return missing?"
SHOWN = 6  # elements of an array that a failure shows


def exercise(*names: str) -> pytest.MarkDecorator:
    """Mark a check with the exercises it needs, by qualified name; the last in order is the one it checks."""
    return pytest.mark.exercise(*names)


@dataclass
class Wrong(AssertionError):  # noqa: N818 - read as what a check says
    """A call that gave something else than it must: all that a learner needs to see of it."""

    called: str
    got: str
    expected: str
    difference: str = ""
    given: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.called} gave {self.got}; expected {self.expected}. {self.difference}"


class Raised(Exception):  # noqa: N818
    """A call in which the learner's code raised; the error is the cause."""

    def __init__(self, called: str, given: list[tuple[str, str]]) -> None:
        super().__init__(called)
        self.called, self.given = called, given


def value(call: str, **names: Any) -> Any:
    """What the text `call` gives, evaluated with the caller's names; raises Raised where it fails."""
    return _evaluate(call, inspect.currentframe(), names)[0]


def close(
    call: str, want: Any, rtol: float = 1e-5, atol: float = 1e-6, dtype: Any = None, **names: Any
) -> Any:
    """`call` gives numbers of the shape of `want` and near to it (and of `dtype`); returns what it gave."""
    got, given = _evaluate(call, inspect.currentframe(), names)
    if dtype is not None and isinstance(got, int | float) | _is_array(got):
        has = np.asarray(got).dtype
        if has != np.dtype(dtype) and np.shape(got) == np.shape(want):
            raise Wrong(call, f"dtype {has}", f"dtype {np.dtype(dtype).name}", "", given)
    _compare(call, got, want, given, rtol, atol)
    return got


def equal(call: str, want: Any, **names: Any) -> Any:
    """`call` gives exactly `want`: arrays by all elements and dtype kind, Python objects by type and `==`."""
    got, given = _evaluate(call, inspect.currentframe(), names)
    _same(call, got, want, given)
    return got


def true(call: str, what: str, **names: Any) -> Any:
    """`call` gives something true; `what` says in words what should hold."""
    got, given = _evaluate(call, inspect.currentframe(), names)
    if not bool(np.all(np.asarray(got)) if _is_array(got) else got):
        raise Wrong(call, show(got), f"that {what}", "", given)
    return got


def raises(call: str, kind: type[BaseException], *words: str, **names: Any) -> None:
    """`call` raises an error of this kind whose message holds each of the words."""
    text = f"{kind.__name__}" + (f" that mentions {', '.join(map(repr, words))}" if words else "")
    try:
        got, given = _evaluate(call, inspect.currentframe(), names)
    except Raised as raised:
        error = raised.__cause__
        assert error is not None
        if isinstance(error, NotImplementedError) and not issubclass(kind, NotImplementedError):
            raise
        if not isinstance(error, kind):
            raise Wrong(call, f"{type(error).__name__}: {error}", text, "", raised.given) from error
        missing = [word for word in words if word not in str(error)]
        if missing:
            said = f"{type(error).__name__}: {error}"
            raise Wrong(call, said, text, f"The message lacks {', '.join(missing)}.", raised.given) from None
        return
    raise Wrong(call, show(got), text, "No error was raised.", given)


def gradient(call: str, *inputs: Any, rtol: float = 1e-4, atol: float = 1e-6, seed: int = 0) -> None:
    """The vjp of an op agrees with central differences in float64, for a random cotangent.

    `call` is the text of an op (`MatMul()`), `inputs` its arrays. Each input of a floating dtype is checked.
    """
    frame = inspect.currentframe()
    op, _ = _evaluate(call, frame, {})
    from tinytorch.ops.base import registry

    arrays = [np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else np.asarray(x) for x in inputs]

    def forward(values: list[Any]) -> list[Any]:
        result = op.forward(*[v.copy() for v in values])
        return [*result] if op.outputs > 1 else [result]

    tensors = [registry.make(a.copy()) for a in arrays]
    outs = forward(arrays)
    cotangent = np.random.default_rng(seed).normal(size=np.shape(outs[0]))
    made = tuple(registry.make(np.asarray(o)) for o in outs)
    names = {"op": op, "g": registry.make(cotangent), "out": made if op.outputs > 1 else made[0]}
    names |= {f"x{i}": t for i, t in enumerate(tensors)}
    listed = ", ".join(f"x{i}" for i in range(len(tensors)))
    text = f"{call}.vjp(g, out, {listed})"
    found, given = _evaluate(f"op.vjp(g, out, {listed})", frame, names, text)
    given = [(name, shown) for name, shown in given if name != "op"]
    if not isinstance(found, tuple | list) or len(found) != len(arrays):
        raise Wrong(text, show(found), f"a tuple of {len(arrays)} gradients", "", given)
    for number, (array, g) in enumerate(zip(arrays, found, strict=True)):
        if array.dtype.kind != "f" or g is None:
            if array.dtype.kind == "f":
                raise Wrong(f"{text}[{number}]", "None", f"a gradient of shape {array.shape}", "", given)
            continue
        want = _differences(forward, arrays, number, cotangent)
        got = g() if callable(g) else g
        _compare(f"{text}[{number}]", _unbroadcast(got, want.shape), want, given, rtol, atol)


def _differences(forward: Any, arrays: list[Any], number: int, cotangent: Any, step: float = 1e-6) -> Any:
    """Central differences of sum(cotangent * out) in each element of one input."""
    want = np.zeros_like(arrays[number])
    for at in np.ndindex(want.shape):
        sides = []
        for sign in (1, -1):
            moved = [a.copy() for a in arrays]
            moved[number][at] += sign * step
            sides.append(float((forward(moved)[0] * cotangent).sum()))
        want[at] = (sides[0] - sides[1]) / (2 * step)
    return want


def _unbroadcast(got: Any, shape: tuple[int, ...]) -> Any:
    """A gradient of the broadcast shape summed to the input's: the engine does that, so an op need not."""
    array = np.asarray(got)
    if array.ndim < len(shape) or array.shape == shape:
        return array
    array = array.sum(tuple(range(array.ndim - len(shape))))
    axes = tuple(i for i, (a, s) in enumerate(zip(array.shape, shape, strict=True)) if s == 1 and a != 1)
    return array.sum(axes, keepdims=True)


# ---------------------------------------------------------------- evaluating and showing


def _evaluate(
    call: str, frame: FrameType | None, names: dict[str, Any], text: str = ""
) -> tuple[Any, list[tuple[str, str]]]:
    """What the text gives with the names of the check that called, and its inputs as a learner reads them."""
    assert frame is not None
    assert frame.f_back is not None
    scope = {**frame.f_back.f_globals, **frame.f_back.f_locals, **names}
    given = _inputs(call, scope, {**frame.f_back.f_locals, **names})
    del frame
    try:
        return eval(compile(call, "<check>", "eval"), scope), given
    except BaseException as error:
        raise Raised(text or call, given) from error


def _inputs(call: str, scope: dict[str, Any], local: dict[str, Any]) -> list[tuple[str, str]]:
    """The local names that occur in a call, with their values."""
    used = [node.id for node in ast.walk(ast.parse(call.strip())) if isinstance(node, ast.Name)]
    return [
        (name, show(local[name])) for name in dict.fromkeys(used) if name in local and _showable(local[name])
    ]


def _showable(thing: Any) -> bool:
    plain = isinstance(thing, int | float | str | bytes | list | tuple | dict | set | type(None))
    return plain or _is_array(thing)


def show(thing: Any) -> str:
    """A value in at most about two lines: an array by dtype, shape and its first elements.

    >>> show(np.arange(3.0))
    'float64 (3,) [0. 1. 2.]'
    >>> show([np.arange(2), None])
    '[int64 (2,) [0 1], None]'
    """
    if isinstance(thing, BaseException):
        return f"{type(thing).__name__}: {thing}"
    if _is_array(thing):
        array = np.asarray(thing)
        kind = "" if isinstance(thing, np.ndarray | np.generic) else f"{type(thing).__name__} "
        few = np.array2string(array.ravel()[:SHOWN], precision=5, separator=" ", max_line_width=10_000)
        if array.ndim == 0:
            few = few.strip("[]")
        elif array.size > SHOWN:
            few = few[:-1] + " ...]"
        return f"{kind}{array.dtype} {array.shape} {few}"
    if isinstance(thing, tuple | list) and any(map(_is_array, thing)):
        text = ", ".join(map(show, thing))
        return f"({text})" if isinstance(thing, tuple) else f"[{text}]"
    text = repr(thing)
    return text if len(text) <= 160 else text[:157] + "..."


def _is_array(thing: Any) -> bool:
    return isinstance(thing, np.ndarray | np.generic | Tensor)


def _same_type(got: Any, want: Any) -> bool:
    kinds = (bool, int, float, str, bytes, tuple, list, dict, set)
    return all(isinstance(got, kind) == isinstance(want, kind) for kind in kinds)


def _holds_array(thing: Any) -> bool:
    """Whether it is an array or has one somewhere in its lists, tuples and dicts: `==` is no answer then."""
    parts = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, tuple | list) else ()
    return _is_array(thing) or any(map(_holds_array, parts))


def _same(call: str, got: Any, want: Any, given: list[tuple[str, str]]) -> None:
    """Raise Wrong unless `got` is exactly `want`."""
    if _is_array(got) or _is_array(want):
        _compare(call, got, want, given, 0.0, 0.0)
        kinds = np.asarray(got).dtype.kind, np.asarray(want).dtype.kind
        if kinds[0] != kinds[1]:
            raise Wrong(call, f"dtype {np.asarray(got).dtype}", f"dtype {np.asarray(want).dtype}", "", given)
    elif _same_type(got, want) and (_holds_array(got) or _holds_array(want)):
        for part, g, w in _parts(call, got, want, given):
            _same(part, g, w, given)
    elif not (_same_type(got, want) and got == want):
        raise Wrong(call, show(got), show(want), _first_difference(got, want), given)


def _parts(call: str, got: Any, want: Any, given: list[tuple[str, str]]) -> list[tuple[str, Any, Any]]:
    """The parts of two lists, tuples or dicts that belong together, each with its text; or Wrong."""
    if isinstance(want, dict) and isinstance(got, dict):
        if got.keys() != want.keys():
            keys = [", ".join(map(str, thing)) for thing in (got, want)]
            text = f"Its keys are {keys[0]} and should be {keys[1]}."
            raise Wrong(call, show(got), show(want), text, given)
        return [(f"{call}[{key!r}]", got[key], want[key]) for key in want]
    if len(got) != len(want):
        text = f"Length {len(got)} is not {len(want)}."
        raise Wrong(call, show(got), f"{len(want)} values: {show(want)}", text, given)
    return [(f"{call}[{i}]", g, w) for i, (g, w) in enumerate(zip(got, want, strict=True))]


def _compare(call: str, got: Any, want: Any, given: list[tuple[str, str]], rtol: float, atol: float) -> None:
    """Raise Wrong unless `got` has the shape of `want` and values near to it."""
    if isinstance(want, tuple) and any(map(_is_array, want)) and _is_array(got):
        count = f"{len(want)} value{'s' * (len(want) > 1)}"
        raise Wrong(call, show(got), show(want), f"That is one array, not a tuple of {count}.", given)
    listed = isinstance(want, tuple | list) and not _is_array(got)
    if isinstance(want, dict) or (listed and any(_is_array(w) or isinstance(w, tuple | list) for w in want)):
        if not isinstance(got, dict if isinstance(want, dict) else tuple | list):
            raise Wrong(call, show(got), f"{len(want)} values: {show(want)}", "", given)
        for part, g, w in _parts(call, got, want, given):
            _compare(part, g, w, given, rtol, atol)
        return
    try:
        expected = np.asarray(want)
    except ValueError:  # lists of different lengths
        text = f"That is one array, not {len(want)} values."
        raise Wrong(call, show(got), show(want), text, given) from None
    try:
        found = np.asarray(got)
    except ValueError:
        found = np.asarray(None)
    if found.dtype.kind not in "biuf":
        why = NOTHING if got is None else "That is not numbers."
        raise Wrong(call, show(got), show(expected), why, given)
    if expected.dtype.kind not in "biuf":
        raise Wrong(call, show(got), show(want), _first_difference(got, want), given)
    if found.shape != expected.shape:
        raise Wrong(call, show(got), show(expected), f"Shape {found.shape} is not {expected.shape}.", given)
    with np.errstate(all="ignore"):
        good = np.isclose(found.astype(np.float64), expected.astype(np.float64), rtol, atol, equal_nan=True)
    if not good.all():
        at = tuple(int(i) for i in np.argwhere(~good)[0])
        place = f"Element {list(at)}" if at else "It"
        many = f"; {int((~good).sum())} of {good.size} elements differ" if good.size > 1 else ""
        is_, should = _apart(found[at], expected[at])
        text = f"{place} is {is_} and should be {should}{many}."
        raise Wrong(call, show(got), show(expected), text, given)


def _apart(a: Any, b: Any) -> tuple[str, str]:
    """Two numbers in as few digits, from six on, as tell them apart."""
    if np.asarray(a).dtype.kind == np.asarray(b).dtype.kind == "f":
        for digits in (6, 9, 12):
            short = f"{a:.{digits}g}", f"{b:.{digits}g}"
            if short[0] != short[1]:
                return short
    return str(a), str(b)


def _first_difference(got: Any, want: Any) -> str:
    if got is None:
        return NOTHING
    if not _same_type(got, want):
        return f"It is of type {type(got).__name__}, not {type(want).__name__}."
    if isinstance(want, str | list | tuple | bytes):
        for i, (g, w) in enumerate(zip(got, want, strict=False)):
            if g != w:
                return f"They differ first at position {i}: {g!r} is not {w!r}."
        return f"Length {len(got)} is not {len(want)}."
    return ""
