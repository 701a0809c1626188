"""A walk over the Python objects that a function uses, found by looking at its code."""

from __future__ import annotations

import dis
import functools
import operator
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import IOBase
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tinytorch.acceleration.arguments import PLAIN
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.optim.optimizer import Optimizer
from tinytorch.tensor import Tensor

MOST_BYTES = 1 << 20
"""Of a NumPy array that is compared before each call."""
MOST_VALUES = 20_000
"""Values that are looked at before each call, and objects that a walk visits."""
LONGEST = 200
"""Characters from which a label does not grow: those along a chain of objects would fill the memory."""
_OURS = "tinytorch"
_KNOWN = {_OURS, "numpy", "scipy", "numba", *sys.stdlib_module_names}
_LEAVES = (float, np.generic, np.dtype, slice, range, IOBase, *PLAIN)
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR", "LOAD_SUPER_ATTR")
_CODE = (FunctionType, property, classmethod, staticmethod, functools.cached_property)
_INTERNAL = (
    "_roles",
    "_name",
)  # of a module: what it holds is seen as attributes, and its name changes no result


class Wrapper:
    """A callable that stands for another function."""

    function: Callable[..., Any]


@dataclass(frozen=True)
class Holder:
    """Something whose values can be replaced: how to read those that matter, and how it is called."""

    thing: Any
    read: Callable[[Any], Iterable[Any]]
    label: str
    names: Sequence[Any] = ()
    sized: bool = False
    """Whether it is a dict or list, whose length matters."""
    grows: bool = False
    """Whether it is an optimizer's state, which begins to exist in the first step."""

    @property
    def keyed(self) -> bool:
        """Whether its values are found under its names."""
        return isinstance(self.read, operator.itemgetter)

    def size(self) -> int:
        """How many values it has, whether they matter or not."""
        return len(self.thing) if self.sized else 0


class Walk:
    """What is found from some roots; `names` are the attributes that code found so far names."""

    def __init__(self, names: set[str]) -> None:
        self.known, self.names = names, set(names)
        self.modules: list[Module] = []
        self.optimizers: list[Optimizer] = []
        self.tensors: dict[int, Tensor] = {}
        self.holders: list[Holder] = []
        self.arrays: list[tuple[Array, str]] = []
        self.generators: list[Any] = []
        self.refusal = ""
        self._seen: dict[int, Any] = {}
        self._classes: set[tuple[type, bool]] = set()
        self._waiting: list[tuple[Any, str]] = []

    @staticmethod
    def over(roots: Sequence[Any]) -> Walk:
        """Walk until no further code is found: code names attributes, behind which there may be more code."""
        names = {"forward"}
        while True:
            walk = Walk(names)
            walk._waiting = [(root, "") for root in reversed(roots)]
            while walk._waiting and len(walk._seen) <= MOST_VALUES:
                walk._visit(*walk._waiting.pop())
            if walk._waiting:
                walk.refusal = f"it can reach more than {MOST_VALUES:,} Python objects, too many to watch"
            if walk.names == names or walk._waiting:
                return walk
            names = walk.names

    def _visit(self, thing: Any, label: str) -> None:
        if isinstance(thing, _LEAVES) or id(thing) in self._seen:
            return
        self._seen[id(thing)] = thing
        if isinstance(thing, Tensor):
            self.tensors[id(thing)] = thing
        elif isinstance(thing, Module):
            self.modules.append(thing)
            self._attributes(thing, label, lambda name, value: isinstance(value, Module | Tensor))
        elif isinstance(thing, Optimizer):
            self.optimizers.append(thing)
            self._attributes(thing, label, lambda name, value: True)
        elif isinstance(thing, dict):
            self._keyed(thing, label, list(thing), sized=True)
            self._wait((key, label) for key in thing)
        elif isinstance(thing, list):
            self._keyed(thing, label, range(len(thing)), sized=True)
        elif isinstance(thing, deque):
            self._hold(Holder(thing, iter, label, sized=True), thing)
        elif isinstance(thing, tuple | frozenset):
            self._wait((value, label) for value in thing)
        elif isinstance(thing, set):
            self.holders.append(Holder(thing, lambda s: sorted(map(id, s)), label, sized=True))
            self._wait((value, label) for value in thing)
        elif isinstance(thing, np.ndarray):
            self._array(thing, label)
        elif isinstance(thing, random.Random | np.random.Generator | np.random.RandomState):
            self.generators.append(thing)
        elif isinstance(thing, Iterator):
            self.refusal = self.refusal or f"it can draw from the iterator {label or type(thing).__name__}"
        else:
            self._code_or_object(thing, label)

    def _code_or_object(self, thing: Any, label: str) -> None:
        if isinstance(thing, FunctionType):
            self._function(thing)
        elif isinstance(thing, MethodType):
            self._wait([(thing.__func__, label), (thing.__self__, label)])
        elif isinstance(thing, functools.partial):
            self._wait((part, label) for part in (thing.func, *thing.args, *thing.keywords.values()))
        elif isinstance(thing, Wrapper):
            self._wait([(thing.function, label)])
        elif isinstance(thing, functools._lru_cache_wrapper):
            self._wait([(thing.__wrapped__, label)])
        elif isinstance(thing, ModuleType):
            if _is_users(thing.__name__):
                self._keyed(vars(thing), label, [n for n in self.known if n in vars(thing)])
        elif isinstance(thing, type):
            self._class(thing, constructed=True)
        else:
            self._attributes(thing, label, lambda name, value: False)

    # ------------------------------------------------------------ holders

    def _wait(self, found: Iterable[tuple[Any, str]]) -> None:
        self._waiting += reversed(list(found))

    def _hold(self, holder: Holder, values: Iterable[Any]) -> None:
        self.holders.append(holder)
        self._wait((value, holder.label) for value in values)

    def _keyed(
        self, thing: Any, label: str, keys: Sequence[Any], sized: bool = False, grows: bool = False
    ) -> None:
        """Hold what a dict, list or namespace has under some keys."""
        if keys:
            pick = operator.itemgetter(*keys, keys[0])  # with two or more keys it gives a tuple
            self.holders.append(Holder(thing, pick, label, keys, sized, grows))
            self._wait((thing[key], _under(label, key)) for key in keys)
        elif sized:
            self.holders.append(Holder(thing, lambda _: (), label, (), sized, grows))

    def _array(self, array: Array, label: str) -> None:
        if array.nbytes <= MOST_BYTES:
            self.arrays.append((array, label))
        else:
            self.refusal = self.refusal or (
                f"it can reach the NumPy array {label} of {array.nbytes / 2**20:.1f} MiB, whose changes a "
                "program would not see. Make it a Tensor"
            )

    def _attributes(self, thing: Any, label: str, always: Callable[[str, Any], bool]) -> None:
        """Hold the attributes of an object that code names, and those that are wanted in any case."""
        self._class(type(thing))
        found = getattr(thing, "__dict__", None)
        if isinstance(found, dict):
            if isinstance(thing, Optimizer):
                self._seen[id(thing.state)] = thing.state
                self._keyed(thing.state, _under(label, "state"), list(thing.state), sized=True, grows=True)
            names = [k for k, v in found.items() if k not in _INTERNAL and (k in self.known or always(k, v))]
            self._keyed(found, label, names, sized=True)
        slots = [n for cls in type(thing).__mro__ for n in _slots(cls) if n in self.known]
        there = [name for name in slots if _is_set(thing, name)]
        if there:
            pick = operator.attrgetter(*there, there[0])
            self._hold(Holder(thing, pick, label, there), pick(thing))

    # ------------------------------------------------------------ code

    def _function(self, function: FunctionType) -> None:
        """What a function names: attributes, variables of its closure, and globals unless it is ours."""
        users = _is_users(function.__module__ or "")
        if not users and not _is_ours(function.__module__ or ""):
            return
        global_names, attributes = names_in(function.__code__)
        self.names |= attributes
        if users:
            # what is no identifier was put there by a tool: pytest has its helpers of `assert` there
            there = [n for n in sorted(global_names) if n in function.__globals__ and n.isidentifier()]
            self._keyed(function.__globals__, "", there)
        if function.__closure__:
            cells, variables = function.__closure__, function.__code__.co_freevars
            self.holders.append(Holder(cells, _contents, "", variables))
            self._wait(zip(_contents(cells), variables, strict=True))
        self._wait((value, function.__name__) for value in function.__defaults__ or ())
        self._wait((value, name) for name, value in (function.__kwdefaults__ or {}).items())

    def _class(self, cls: type, constructed: bool = False) -> None:
        """The methods of a class that code names, and what it holds beside methods."""
        for base in cls.__mro__:
            users = _is_users(base.__module__)
            key = base, constructed
            if key in self._classes or base is Module or not (users or _is_ours(base.__module__)):
                continue
            self._classes.add(key)
            data = []
            for name, value in vars(base).items():
                called = name in self.known or (users and _is_called(name, constructed))
                if called and isinstance(value, _CODE):
                    self._wait((function, name) for function in _functions(value))
                elif users and name in self.known:
                    data.append(name)
            self._keyed(vars(base), base.__name__, data)


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The globals and the attributes that code names, functions inside of it included.

    Texts that could name an attribute count too, for `getattr`.

    >>> names_in((lambda x: x.shape[len(x)]).__code__)
    (frozenset({'len'}), frozenset({'shape'}))
    """
    found: set[str] = set()
    attributes: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBALS:
            found.add(instruction.argval)
        elif instruction.opname in _ATTRIBUTES or _is_word(instruction):
            attributes.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = names_in(constant)
            found |= inner[0]
            attributes |= inner[1]
    return frozenset(found), frozenset(attributes)


def _is_word(instruction: dis.Instruction) -> bool:
    """Whether an instruction loads a text that could name an attribute."""
    value = instruction.argval
    return instruction.opname == "LOAD_CONST" and isinstance(value, str) and value.isidentifier()


_EMPTY = object()


def _contents(cells: Sequence[Any]) -> list[Any]:
    """What the variables of a closure hold."""
    found = []
    for cell in cells:
        try:
            found.append(cell.cell_contents)
        except ValueError:  # a name that was not assigned yet
            found.append(_EMPTY)
    return found


def _functions(value: Any) -> Iterator[FunctionType]:
    """The functions behind what a class holds under a name."""
    parts: tuple[Any, ...] = (value,)
    if isinstance(value, property):
        parts = (value.fget, value.fset)
    elif isinstance(value, classmethod | staticmethod):
        parts = (value.__func__,)
    elif isinstance(value, functools.cached_property):
        parts = (value.func,)
    return (part for part in parts if isinstance(part, FunctionType))


def _is_called(name: str, constructed: bool) -> bool:
    """Whether Python calls a method without its name in the code: `a + b` calls `__add__`."""
    if name in ("__init__", "__new__", "__post_init__", "__repr__", "__str__", "__del__"):
        return constructed and name not in ("__repr__", "__str__", "__del__")
    return name.startswith("__") and name.endswith("__")


def _slots(cls: type) -> Sequence[str]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_set(thing: Any, name: str) -> bool:
    try:
        getattr(thing, name)
    except AttributeError:  # a slot that nothing was put into
        return False
    return True


def _is_users(module: str) -> bool:
    return module.partition(".")[0] not in _KNOWN


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == _OURS


def _under(label: str, name: Any) -> str:
    """The name of a part; what a tensor is the key of goes without, and so does what lies very deep."""
    if isinstance(name, Tensor) or len(label) > LONGEST:
        return label
    return f"{label}.{name}" if label else str(name)
