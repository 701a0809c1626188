"""Following a call through the modules of a model, ours or PyTorch's: which one is at work, and for how long.

Each module's `forward` is wrapped for the time of the call, on the instance. PyTorch's hooks would tell as
much, at 2.5 us a call instead of 0.6; and with hooks of their own, its attention layers leave their fast
path, so that what is watched is no longer what runs.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinytorch.profiling.trace import Key, Pass, Record


@dataclass(frozen=True)
class NamedOp:
    """An op by name; "" stands for all that happens in a module between two others."""

    name: str


BETWEEN = NamedOp("")


class Follower:
    """Knows at each moment of a call which module is at work, and notes how long each was.

    `modules`: by path; one that stands under several is filed under the one that fits where it is called. A
    module's time is its own: what modules called in it take is theirs. Only the calling thread is followed.

    >>> from tinytorch.models import MLP
    >>> from tinytorch.profiling.tree import modules_by_path
    >>> model = MLP((4, 3))
    >>> one, out = Follower(modules_by_path(model)).run(lambda: model(model.example_input))
    >>> [record.path for record in one.records if record.path]
    ['flatten', 'layers', 'layers.0', 'layers']
    """

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self.path, self.backward = "", False
        self.records: list[Record] = []
        names: defaultdict[int, list[str]] = defaultdict(list)
        for path, module in modules.items():
            names[id(module)].append(path)
        self._modules = {id(module): (module, names[id(module)]) for module in modules.values()}
        self._free = 0

    def run(self, call: Callable[[], Any]) -> tuple[Pass, Any]:
        """Follow one call; its modules one after the other as a `Pass`, and what it returned.

        The modules are as they were again afterwards, whatever happens.
        """
        self.path, self.backward, self.records = "", False, []
        with self._wrapped():
            start = self._free = time.perf_counter_ns()
            result = call()
            end = time.perf_counter_ns()
        self._close(end, end)
        return Pass(start, end, tuple(self.records)), result

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        thread = threading.get_ident()
        before = [(vars(one), vars(one).get("forward")) for one, _ in self._modules.values()]
        try:
            for one, names in self._modules.values():
                vars(one)["forward"] = self._wrap(one.forward, names, thread)
            yield
        finally:
            for attributes, forward in before:
                if forward is None:
                    attributes.pop("forward", None)
                else:
                    attributes["forward"] = forward

    def _wrap(self, original: Callable[..., Any], names: Sequence[str], thread: int) -> Callable[..., Any]:
        clock, ident = time.perf_counter_ns, threading.get_ident

        @functools.wraps(original)
        def forward(*args: Any, **kwargs: Any) -> Any:
            seen = clock()
            if ident() != thread:
                return original(*args, **kwargs)
            outer = self.path
            self.switch(below(outer, names), seen)
            try:
                return original(*args, **kwargs)
            finally:
                self.switch(outer, clock())

        return forward

    def switch(self, path: str, seen: int) -> None:
        """What went by until `seen` was at the path so far; from now on it is at `path`."""
        before, self.path = self.path, path
        self._close(seen, time.perf_counter_ns(), before)

    def _close(self, seen: int, done: int, path: str | None = None) -> None:
        of = self.path if path is None else path
        self.records.append(Record(of, BETWEEN, self.backward, self._free, seen, seen, done))
        self._free = done


def below(path: str, names: Sequence[str]) -> str:
    """Of a module's names the one right below the path, or else below it, or else the first.

    >>> below("b", ["a.relu", "b.relu"]), below("", ["a.relu", "b.relu"])
    ('b.relu', 'a.relu')
    """
    if len(names) == 1:
        return names[0]
    inside = [name for name in names if name.startswith(f"{path}.")] if path else list(names)
    return min(inside or names[:1], key=lambda name: name.count("."))


def under(paths: Container[str]) -> Callable[[Key], bool]:
    """Whether a key is filed under one of the paths.

    >>> under({"a"})(Key("a", "add", False))
    True
    """
    return lambda key: key.path in paths
