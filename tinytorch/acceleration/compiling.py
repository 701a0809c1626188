"""Python functions compiled by numba when they are first wanted: who imports them imports no compiler."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from tinytorch import console

_SLOW = 1.0  # seconds after which it is said what takes so long
# sums may be taken in another order, and products joined with them: that is what vectors need. Anything
# more, and numba would assume that there are no NaN and no infinities.
_FAST = {"reassoc", "contract"}


@functools.cache
def has_numba() -> bool:
    """Whether numba can be imported: there are machines it has no wheel for."""
    try:
        import numba
    except ImportError:
        return False
    return bool(numba.__version__)


@functools.cache
def compiled(function: FunctionType, cached: bool = False) -> Callable[..., Any]:
    """The function for numba to compile, for each kind of arguments at the first call with them.

    Functions of its module that it calls are compiled with it. The function itself stays as it is. `cached`:
    what was compiled is kept on disk, for functions that call none of other files: numba would not notice
    if those changed.

    >>> def half(x):
    ...     return x / 2
    >>> def quarter(x):
    ...     return half(half(x))
    >>> compiled(quarter)(1.0) if has_numba() else 0.25
    0.25
    """
    import numba

    names = function.__globals__
    called = {
        name: compiled(names[name], cached)
        for name in function.__code__.co_names
        if isinstance(names.get(name), FunctionType)
    }
    linked = FunctionType(function.__code__, {**names, **called}, function.__name__)
    jit = functools.partial(numba.njit, fastmath=_FAST, error_model="numpy")
    jitted: Callable[..., Any]
    try:
        jitted = jit(cache=cached)(linked)
    except RuntimeError:  # there is no folder that numba could write to
        jitted = jit()(linked)
    return jitted


@contextmanager
def said_when_slow(text: str, seconds: float = _SLOW) -> Iterator[None]:
    """A block that is announced, in one line, if it takes longer than some seconds."""
    timer = threading.Timer(seconds, console.notice, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
