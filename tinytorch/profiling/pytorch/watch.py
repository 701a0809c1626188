"""Watching a torch.nn.Module run: its modules, their gradients, and the ops that reach PyTorch's dispatcher.

Gradients are told by the autograd graph: each node bears a sequence number, by which the module whose forward
pass made it is known.
"""

from __future__ import annotations

import functools
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from tinytorch.errors import ProfilingError
from tinytorch.profiling.counting.flops import OpCost
from tinytorch.profiling.pytorch.call import Call, Sized
from tinytorch.profiling.pytorch.follow import Follower, NamedOp
from tinytorch.profiling.pytorch.rules import cost_of_call, rule_of
from tinytorch.profiling.trace import Key, Pass, Record

INSTALL = "PyTorch is not installed: pip install torch==2.13.0 (the extra `peers` of tinytorch-lab)"
NO_NUMBER = 2**63
"""Nodes that only add up a parameter's gradient have a sequence number above this: none of their own."""


@functools.cache
def torch_package() -> Any:
    """The package torch; raises ProfilingError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise ProfilingError(INSTALL) from None
    return torch


class TorchFollower(Follower):
    """Follows a torch.nn.Module, and its gradients from where `follow_back` is called."""

    def __init__(self, module: Any) -> None:
        torch = torch_package()
        found = module.named_modules(remove_duplicate=False)
        super().__init__({path: one for path, one in found if not isinstance(one, torch.jit.ScriptModule)})
        self._next_number: Callable[[], int] = torch.autograd._get_sequence_nr
        self._marks: list[tuple[int, str]] = []
        self._handles: list[Any] = []

    def run(self, call: Callable[[], Any]) -> tuple[Pass, Any]:
        """Follow one call; its modules one after the other as a `Pass`, and what it returned."""
        self._marks = [(self._next_number(), "")]
        try:
            return super().run(call)
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles = []

    def switch(self, path: str, seen: int) -> None:
        """What went by until `seen` was at the path so far; from now on it is at `path`.

        Nodes of the graph that are made from now on belong to it.
        """
        if not self.backward:
            self._marks.append((self._next_number(), path))
        super().switch(path, seen)

    def follow_back(self, tensor: Any) -> None:
        """From now on gradients run, from `tensor` back: hook nodes of its graph where the path changes.

        Nodes run in falling order of their numbers, each sum of a parameter's gradient after the last node
        that added to it, so a hook before the first node of each path tells all.
        """
        seen = time.perf_counter_ns()
        path = ""
        for number, node in sorted(_numbered(tensor.grad_fn), key=lambda one: -one[0]):
            of = self._made_by(number)
            if of != path:
                self._handles.append(node.register_prehook(functools.partial(self._before_node, of)))
                path = of
        super().switch("", seen)
        self.backward = True

    def _before_node(self, path: str, _gradients: Any) -> None:
        self.switch(path, time.perf_counter_ns())

    def _made_by(self, number: int) -> str:
        place = bisect_right(self._marks, number, key=lambda mark: mark[0]) - 1
        return self._marks[place][1] if place >= 0 else ""


def _numbered(root: Any) -> list[tuple[int, Any]]:
    """The nodes of a graph that have a number of their own, with it."""
    found, seen, stack = [], {root}, [root]
    while stack:
        node = stack.pop()
        number = node._sequence_nr()
        if number < NO_NUMBER:
            found.append((number, node))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return found


# ---------------------------------------------------------------- ops at the dispatcher


class OpWatch:
    """Notes each op that reaches the dispatcher under the module at work; with `count`, also its cost.

    A view computes nothing: it is noted, and its time is left to the module.
    """

    def __init__(self, follower: Follower, count: bool = False) -> None:
        self.follower = follower
        self.rows: list[tuple[Key, OpCost]] = []
        self._count = count
        self._records: list[Record] = []

    def run(self, call: Callable[[], Any]) -> tuple[Pass, Any]:
        """Watch one call; the ops it ran as a `Pass`, and what it returned."""
        self.rows, self._records = [], []
        with _mode()(self.note):
            modules, result = self.follower.run(call)
        return Pass(modules.start, modules.end, tuple(self._records)), result

    def note(self, func: Any, args: Any, kwargs: Any, out: Any, start: int, end: int) -> None:
        """Take in one op that ran from `start` to `end`."""
        follower, name = self.follower, op_name(func)
        if self._count:
            self.rows.append((Key(follower.path, name, follower.backward), _cost(func, args, kwargs, out)))
        begun = end if func.is_view else start
        record = Record(follower.path, _op(name), follower.backward, begun, end, end, time.perf_counter_ns())
        self._records.append(record)


def _cost(func: Any, args: Any, kwargs: Any, out: Any) -> OpCost:
    """By the rules; unknown for tensors of rows of different lengths, which have no shape to count by."""
    if any(_is_nested(value) for value in (*args, *kwargs.values())):
        return OpCost(None, 0, 0)
    named = {key: _specs(value) for key, value in kwargs.items()}
    return cost_of_call(op_name(func), Call(tuple(_sized(out)), _specs(args), named), func.is_view)


@functools.cache
def _op(name: str) -> NamedOp:
    return NamedOp(name)


@functools.cache
def op_name(func: Any) -> str:
    """The name of an op without its overload; PyTorch's own go without "aten::"."""
    return str(func._schema.name).removeprefix("aten::")


@functools.cache
def _mode() -> Any:
    """A dispatch mode that times each op and hands it on; made here, as its base is PyTorch's."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self, note: Callable[..., None]) -> None:
            super().__init__()
            self.note = note

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if rule_of(op_name(func)) is None:
                with self:  # under inference_mode ops arrive whole that are made of others
                    out = func.decompose(*args, **kwargs)
                if out is not NotImplemented:
                    return out
            start = time.perf_counter_ns()
            out = func(*args, **kwargs)
            self.note(func, args, kwargs, out, start, time.perf_counter_ns())
            return out

    return Watch


def _sized(value: Any) -> Iterator[Sized]:
    for part in value if isinstance(value, list | tuple) else (value,):
        spec = _specs(part)
        if isinstance(spec, Sized):
            yield spec


def _specs(value: Any) -> Any:
    """The value with a `Sized` in the place of each tensor."""
    if isinstance(value, torch_package().Tensor):
        return Sized((), 0) if value.is_nested else Sized(tuple(value.shape), value.element_size())
    if isinstance(value, list | tuple):
        return tuple(_specs(part) for part in value)
    return value


def _is_nested(value: Any) -> bool:
    return isinstance(value, torch_package().Tensor) and bool(value.is_nested)
