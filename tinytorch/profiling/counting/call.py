"""The call that `FLOPCounter.count` counts: its inputs taken or made, and nothing left behind by it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.errors import DTypeError, MetaError, ProfilingError, ShapeError
from tinytorch.nn.module import Module
from tinytorch.ops.context import meta, state
from tinytorch.ops.meta import NoData
from tinytorch.ops.spec import DType, as_dtype, float32
from tinytorch.profiling.counting.formulas import shape_of
from tinytorch.profiling.subject import Subject, subject_of
from tinytorch.tensor import Tensor, from_numpy, ones, zeros

CURE = "Pass inputs=(...) with all arguments, or inputs={...} by name."


def counted_subject(
    function: Callable[..., Any], input_shape: Sequence[int] | None, inputs: Any, dtype: Any
) -> Subject:
    """The call to count; a model is called by its `forward`, so that it is the root of all paths."""
    if input_shape is not None and inputs is not None:
        raise ProfilingError("count: give input_shape or inputs, not both")
    if dtype is not None and input_shape is None:
        raise ProfilingError("count: dtype is that of an input made from input_shape; inputs have their own")
    model = _model_of(function)
    kwargs: dict[str, Any] = {}
    args: tuple[Any, ...] | None = None
    if input_shape is not None:
        shape = shape_of("count", input_shape)
        with meta():
            args = (zeros(shape, dtype=_input_dtype(model, dtype)),)
    elif isinstance(inputs, Mapping):
        args, kwargs = (), {name: _argument(value) for name, value in inputs.items()}
    elif inputs is not None:
        several = isinstance(inputs, list | tuple)
        args = tuple(_argument(value) for value in (inputs if several else (inputs,)))
    elif model is not None and model.example_input is None and _is_forward(function, model):
        raise ProfilingError(
            f"count: {type(model).__name__} has no example_input: give input_shape=(...) or inputs"
        )
    return subject_of(function.forward if isinstance(function, Module) else function, args, kwargs, CURE)


def _model_of(function: Any) -> Module | None:
    owner = function.__self__ if inspect.ismethod(function) else function
    return owner if isinstance(owner, Module) else None


def _is_forward(function: Any, model: Module) -> bool:
    return function is model or function.__name__ in ("forward", "__call__")


def _input_dtype(model: Module | None, dtype: Any) -> DType:
    """The dtype asked for, else that of the model's example input, else of its parameters."""
    if dtype is not None:
        return as_dtype(dtype)
    if model is not None and isinstance(model.example_input, Tensor):
        return model.example_input.dtype
    parameters = model.parameters() if model is not None else ()
    return next((parameter.dtype for parameter in parameters), float32)


def _argument(value: Any) -> Any:
    return from_numpy(value) if isinstance(value, np.ndarray) else value


# ---------------------------------------------------------------- errors


@contextmanager
def explained(subject: Subject, input_shape: Sequence[int] | None) -> Iterator[None]:
    """Say of an error in shapes or dtypes from which input it came, if the counter made that."""
    try:
        yield
    except (ShapeError, DTypeError) as error:
        if input_shape is None:
            raise
        made = subject.args[0]
        cure = "" if isinstance(error, ShapeError) else "; give the dtype it takes as dtype=..., or inputs"
        raise type(error)(
            f"{error} (count: {subject.name} ran on {made.dtype} {made.shape}, from input_shape{cure})"
        ) from error


def have_data(values: Iterable[Any]) -> bool:
    """Whether no tensor among the values is without data, so that they can be computed with."""
    return not any(isinstance(value, Tensor) and isinstance(value._array, NoData) for value in values)


def reads_values(subject: Subject, error: MetaError) -> ProfilingError:
    """The error for a model that wants values where there are none."""
    return ProfilingError(
        f"count: {subject.name} reads values ({error}) and its inputs or weights have none: give it, and "
        "inputs=..., real values, and it runs once for real"
    )


# ---------------------------------------------------------------- nothing left behind


@contextmanager
def as_before(model: Module | None) -> Iterator[None]:
    """Run a block as the root of all paths; attributes of the model's modules are as before afterwards.

    Lists and dicts held as attributes get their items back; what lies deeper is the model's own.
    """
    modules = list(model.modules()) if model is not None else []
    held = [(vars(module), dict(vars(module))) for module in modules]
    values = [value for _, attributes in held for value in attributes.values()]
    lists = [(value, list(value)) for value in values if isinstance(value, list)]
    dicts = [(value, dict(value)) for value in values if isinstance(value, dict)]
    here = state()
    outer, here.path = here.path, ""
    try:
        yield
    finally:
        here.path = outer
        for changed, before in [*held, *dicts]:
            changed.clear()
            changed.update(before)
        for value, elements in lists:
            value[:] = elements


def start_backward(name: str, out: Any) -> None:
    """Send a gradient of ones back from the first tensor of a result; raises ProfilingError without one."""
    first = next(_tensors(out), None)
    if first is None:
        raise ProfilingError(f"count: {name} returns {type(out).__name__}; backward needs a Tensor")
    if not first.requires_grad:
        raise ProfilingError(
            f"count: nothing in the result of {name} requires a gradient. Set requires_grad=True on a weight "
            "or an input, or count without backward."
        )
    first.backward(ones(first.shape, dtype=first.dtype))


def _tensors(out: Any) -> Iterator[Tensor]:
    if isinstance(out, Tensor):
        yield out
    elif isinstance(out, Mapping | list | tuple):
        for part in out.values() if isinstance(out, Mapping) else out:
            yield from _tensors(part)
