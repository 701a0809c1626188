"""What holds for the ops of a thread: gradients on or off, module path, watchers, backend, meta."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tinytorch.errors import BackendError
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

VARIABLE = "TINYTORCH_BACKEND"
"""Environment variable that names the backend of the process, all threads of it, where a block names none."""
_CHOSEN = os.environ.get(VARIABLE) or "numpy"


class _Deferred:
    """The kernels of the backend that the environment names, found at the first op.

    Only then are the modules there that register them: those of this package and those of the user's.
    """

    def get(self, op: type[Op]) -> Kernel | None:
        """The kernel for an op; from here on the thread has the kernels themselves."""
        state = context.state
        try:
            state.kernels = _kernels_of(state.backend)
        except BackendError as error:
            raise BackendError(f"{VARIABLE}: {error}") from None
        _refresh(state)
        return state.kernels.get(op)


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
        self.backend = _CHOSEN
        self.kernels: dict[type[Op], Kernel] | _Deferred = {} if _CHOSEN == "numpy" else _Deferred()
        self.meta = False
        self.watched = bool(rules or self.kernels)


rules: set[str] = set()
"""Names of the ops whose rule a learner wrote: that rule runs, no other kernel and no fused op instead."""

context = _Context()
_backends: dict[str, dict[type[Any], Kernel]] = {"numpy": {}}
# Those that come with the package, and the modules that register their kernels. Modules of a later lesson:
# named by text, and imported when their backend is chosen, so that this file needs nothing from them.
_BUILT_IN = {name: f"tinytorch.acceleration.backends.{name}" for name in ("naive", "blocked", "compiled")}


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
def without_rules() -> Iterator[None]:
    """Have kernels and fused ops stand in for all ops, those with a learner's rule too, in the block."""
    kept = set(rules)
    rules.clear()
    _refresh(context.state)
    try:
        yield
    finally:
        keep_rules(kept)


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


def _kernels_of(backend: str) -> dict[type[Any], Kernel]:
    """The kernels of a backend; what others registered for one of ours stays when that is imported."""
    if backend in _BUILT_IN:
        given = dict(_backends.get(backend, ()))
        importlib.import_module(_BUILT_IN[backend])
        _backends.setdefault(backend, {}).update(given)
    if backend not in _backends:
        there = ", ".join(sorted({*_backends, *_BUILT_IN}))
        raise BackendError(
            f"backend {backend!r} does not exist; there are: {there}. "
            "One of another package exists once the module that registers it is imported."
        )
    return _backends[backend]


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run the ops of this thread on another backend's kernels; an op it has none for runs on NumPy.

    `name`: "numpy", "naive" (loops in Python), "blocked" (tiles for the cache), "compiled" (machine code), or
    one that `register_kernel` named. For one call, or as a decorator for all calls of a function; the
    environment variable TINYTORCH_BACKEND names the backend of a whole process.
    Raises BackendError, a ValueError, for a name nobody registered.

    >>> with tt.use_backend("naive"):
    ...     tt.Tensor([1.0, 2.0]) + 1
    Tensor([2., 3.])
    """
    state = context.state
    before = state.backend, state.kernels
    state.backend, state.kernels = name, _kernels_of(name)
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
