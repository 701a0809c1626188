"""Arguments and results: the tensors in nested lists, tuples and dicts, and what is left without them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.ops.spec import DType
from tinytorch.tensor import Tensor

PLAIN = (type(None), bool, int, str, bytes, complex, type(Ellipsis))
"""Types whose values are told apart by `==`; floats by their bits, and everything else by identity."""
_VALUES = (np.generic, np.dtype, slice, range)
_COMPARED: tuple[type, ...] = (*PLAIN, *_VALUES)


class UntraceableError(Exception):
    """An argument or result that a program cannot take or make; the text says which."""


class Slot:
    """Where a tensor stood: the first, second, ... of those in the tree."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and dicts, in order.

    >>> [t.item() for t in tensors_in([Tensor(1), {"a": (Tensor(2), 3)}])]
    [1, 2]
    """
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from tensors_in(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from tensors_in(part)


def mapped(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """The tree with `leaf(x)` for everything in it that is neither list, tuple nor dict.

    >>> mapped({"a": (1, [2])}, lambda x: x + 1)
    {'a': (2, [3])}
    """
    if isinstance(tree, tuple):  # named ones too
        return tuple.__new__(type(tree), (mapped(part, leaf) for part in tree))
    if type(tree) is list:
        return [mapped(part, leaf) for part in tree]
    if type(tree) is dict:
        return {key: mapped(part, leaf) for key, part in tree.items()}
    return leaf(tree)


def taken_out(tree: Any) -> tuple[Any, list[Tensor]]:
    """The tree with a Slot for each tensor, and the tensors, each once."""
    tensors: list[Tensor] = []
    places: dict[int, int] = {}

    def leaf(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        number = places.setdefault(id(value), len(tensors))
        if number == len(tensors):
            tensors.append(value)
        return Slot(number)

    return mapped(tree, leaf), tensors


def put_back(tree: Any, tensors: Sequence[Tensor]) -> Any:
    """The tree with tensors where the Slots are."""
    return mapped(tree, lambda value: tensors[value.number] if type(value) is Slot else value)


def require_known(tree: Any, what: str) -> None:
    """Raise UntraceableError for what is neither tensor, number, text nor container of such.

    Arguments may also be objects, such as modules; they are then told apart by identity.
    """
    result = what == "result"

    def leaf(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            raise UntraceableError(f"a NumPy array is among its {what}s. Make it a Tensor first")
        if isinstance(value, set | frozenset | bytearray | list | tuple | dict):
            raise UntraceableError(
                f"a {type(value).__name__} is among its {what}s; lists, tuples and dicts can be"
            )
        known = isinstance(value, (Tensor, float, type, *_COMPARED))
        if result and not known and not callable(value):
            raise UntraceableError(f"its result holds a {type(value).__name__}, which a program cannot make")

    mapped(tree, leaf)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same to a program: numbers and text by value and type, objects by identity.

    >>> same((1, "a"), (1, "a")), same(1, 1.0), same(0.0, -0.0), same([1], [1])
    (True, False, False, False)
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.floating):
        return a.tobytes() == bytes(b.tobytes())
    return isinstance(a, _COMPARED) and bool(a == b)


def same_tree(a: Any, b: Any) -> bool:
    """Whether two nested lists, tuples and dicts have the same form, and in it what is `same`.

    >>> same_tree([1, {"a": 2}], [1, {"a": 2}]), same_tree([1], (1,))
    (True, False)
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_tree, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same_tree, a.values(), b.values()))
    return bool(a.number == b.number) if type(a) is Slot else same(a, b)


Kind = tuple[tuple[int, ...], DType, bool, type]


def kind_of(tensor: Tensor) -> Kind:
    """What a program is made for: shape, dtype, whether a gradient is wanted; and the type, for `meta()`."""
    array = tensor._array
    return array.shape, array.dtype, tensor.requires_grad, type(array)
