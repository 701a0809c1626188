"""What holds for the ops of a thread: gradients on or off, module path, watchers, backend, meta."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tinytorch.ops.meta import NoData, refusal
from tinytorch.ops.spec import Array

if TYPE_CHECKING:
    from tinytorch.ops.base import Op
    from tinytorch.tensor import Tensor


class OpEvent:
    """One op as a watcher sees it: `start` and `end` in ns on `perf_counter_ns`, around the kernel alone."""

    __slots__ = ("backward", "end", "inputs", "op", "outputs", "path", "start")

    def __init__(
        self,
        op: Op,
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        path: str,
        backward: bool,
        start: int,
        end: int,
    ) -> None:
        self.op, self.inputs, self.outputs = op, inputs, outputs
        self.path, self.backward, self.start, self.end = path, backward, start, end


class Observer(Protocol):
    """Whoever watches ops: profiler, tracer, a test."""

    def on_op(self, event: OpEvent) -> None:
        """Called after each op with its inputs and outputs."""

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Called when a value leaves for Python through `.data`, `.item()`, `bool()` or `__array__`."""


Kernel: TypeAlias = Callable[..., Any]


class _Context(threading.local):
    """What holds for the ops of this thread: gradients on or off, module path, watchers, backend."""

    def __init__(self) -> None:
        self.state = State()


class State:
    __slots__ = ("backend", "backward", "grad", "kernels", "meta", "observers", "path", "watched")

    def __init__(self) -> None:
        self.grad = True
        self.path = ""
        self.backward = False
        self.observers: tuple[Observer, ...] = ()
        self.backend = "numpy"
        self.kernels: dict[type[Op], Kernel] = {}
        self.meta = False
        self.watched = bool(rules)


rules: set[str] = set()
"""Names of the ops whose rule a learner wrote: that rule runs, no other kernel and no fused op instead."""

context = _Context()
_backends: dict[str, dict[type[Any], Kernel]] = {"numpy": {}}


def state() -> State:
    """The state of the calling thread: `grad`, `path`, `observers`, `backend`, `meta`."""
    return context.state


def leave(tensor: Tensor, how: str) -> Array:
    """The array of a tensor on its way out to Python; watchers are told that it left.

    Raises MetaError for a tensor without data.
    """
    if isinstance(tensor._array, NoData):
        raise refusal(how)
    for observer in context.state.observers:
        observer.on_exit(tensor, how)
    return tensor._array


def _refresh(state: State) -> None:
    state.watched = bool(state.observers or state.kernels or state.meta or rules)


def keep_rules(names: Iterable[str]) -> None:
    """Have these ops, by class name, run their own rule, and fused ops that contain one step aside."""
    rules.update(names)
    _refresh(context.state)


@contextlib.contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Show every op of this thread to `observer` for the length of the block."""
    state = context.state
    before = state.observers
    state.observers = (*before, observer)
    _refresh(state)
    try:
        yield
    finally:
        state.observers = before
        _refresh(state)


def register_kernel(backend: str, op: type[Op]) -> Callable[[Kernel], Kernel]:
    """Decorator: a backend's kernel for an op, called as `kernel(op, *arrays)` in place of `op.forward`."""

    def add(kernel: Kernel) -> Kernel:
        _backends.setdefault(backend, {})[op] = kernel
        return kernel

    return add


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run the ops of this thread on another backend's kernels; an op it has none for runs on NumPy.

    Raises ValueError for a name nobody registered.
    """
    if name not in _backends:
        raise ValueError(f"backend {name!r} does not exist; there are: {', '.join(sorted(_backends))}")
    state = context.state
    before = state.backend, state.kernels
    state.backend, state.kernels = name, _backends[name]
    _refresh(state)
    try:
        yield
    finally:
        state.backend, state.kernels = before
        _refresh(state)


@contextlib.contextmanager
def meta() -> Iterator[None]:
    """Tensors made in the block have shape and dtype but no data, and ops only infer: models of any size.

    Tensors from before may take part; their values are neither read nor changed. What needs a value
    (`.item()`, `bool()`, `.data`) raises MetaError, as does an op outside of the block on a tensor of it.

    >>> with tt.meta():
    ...     (tt.zeros(1_000_000, 1_000_000) @ tt.zeros(1_000_000, 7)).shape
    (1000000, 7)
    """
    state = context.state
    before, state.meta = state.meta, True
    _refresh(state)
    try:
        yield
    finally:
        state.meta = before
        _refresh(state)


class grad_mode:  # noqa: N801 - used like a function; as a class it costs a third of a generator
    """Switch recording for backward on or off for the length of the block."""

    __slots__ = ("before", "enabled")

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __enter__(self) -> None:
        state = context.state
        self.before, state.grad = state.grad, self.enabled

    def __exit__(self, *_: object) -> None:
        context.state.grad = self.before
