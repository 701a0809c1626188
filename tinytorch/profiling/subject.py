"""What is measured: a callable with its arguments, and the model behind it where there is one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module


@dataclass(frozen=True)
class Subject:
    """A call to measure: `call()` makes it; `model` is the Module it runs, None for other callables."""

    name: str
    call: Callable[[], Any]
    model: Module | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def subject_of(
    function: Callable[..., Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    cure: str = "Pass inputs as args=(...) and kwargs={...}.",
) -> Subject:
    """The call that `function(*args, **kwargs)` means, checked before anything runs.

    A Module, or a bound method `forward` of one, without arguments gets the model's `example_input`.
    `cure`: how the caller takes arguments, for the error where they do not fit.
    Raises ProfilingError for what cannot be called, and for arguments that do not fit the signature.

    >>> from tinytorch.models import MLP
    >>> subject_of(MLP((4, 3)).forward).name
    'MLP'
    """
    if not callable(function):
        raise ProfilingError(
            f"{type(function).__name__} {function!r} cannot be called; pass a function or model"
        )
    if lazy := _returns_at_once(function):
        raise ProfilingError(
            f"{_name_of(function)} is {lazy}: a call of it returns before its body runs. "
            "Pass a function that runs it to its end."
        )
    owner = function if isinstance(function, Module) else inspect.ismethod(function) and function.__self__
    model = owner if isinstance(owner, Module) else None
    name = type(model).__name__ if model is not None else _name_of(function)
    if args is None and not kwargs and model is not None and _is_forward(function):
        if model.example_input is None:
            raise ProfilingError(
                f"{name} has no example_input: pass the inputs as args=(x,), or set model.example_input"
            )
        args = (model.example_input,)
    if not isinstance(args, list | tuple | None):
        raise ProfilingError(
            f"{name}: args is a {type(args).__name__}; pass a tuple of the arguments, as args=(x,)"
        )
    given, named = tuple(args or ()), dict(kwargs or {})
    _check_signature(name, function, given, named, cure)
    # By its `forward`, a module is the root of all paths, though it may be a part of another one.
    target = function.forward if isinstance(function, Module) else function
    return Subject(name, lambda: target(*given, **named), model, given, named)


def _returns_at_once(function: Callable[..., Any]) -> str:
    """What kind of function this is, if its body runs only later; else ""."""
    if inspect.iscoroutinefunction(function):
        return "a coroutine function"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "a generator function"
    return ""


def _is_forward(function: Callable[..., Any]) -> bool:
    return isinstance(function, Module) or _name_of(function) in ("forward", "__call__")


def _name_of(function: Callable[..., Any]) -> str:
    if inspect.isfunction(function) or inspect.ismethod(function) or inspect.isbuiltin(function):
        return function.__name__
    return type(function).__name__


def _check_signature(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], cure: str
) -> None:
    """Raise where the arguments do not fit; a built-in without a signature shows it when it runs."""
    try:
        signature = inspect.signature(function.forward if isinstance(function, Module) else function)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ProfilingError(f"{name}{signature}: {error}. {cure}") from None
