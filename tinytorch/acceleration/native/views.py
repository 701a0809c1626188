"""Views in NumPy's words: how one place is seen from another that lies in the same buffer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytorch.acceleration.native.place import Place
from tinytorch.ops.spec import Array, Shape


@dataclass(frozen=True)
class Look:
    """One step of a view: what it does to an array, and the text that says so, with {} for the array."""

    text: str
    apply: Callable[[Array], Array]


Looks = tuple[Look, ...]


def looks(base: Place, target: Place) -> Looks | None:
    """The steps from an array that lies as `base` to one that lies as `target`; None if there are none.

    >>> from tinytorch.ops.spec import Spec, float32
    >>> table = Place.dense(0, Spec((4, 6), float32))
    >>> column = Place(0, table.dtype, (3, 4), (1, 6), 3)
    >>> text_of("t1", looks(table, column))
    't1[:, 3:].T'
    """
    if base.dtype.itemsize != target.dtype.itemsize or not target.size:
        return None
    for found in _candidates(base, target):
        if _agrees(base, target, found):
            return found
    return None


def text_of(name: str, found: Looks) -> str:
    """The steps as Python on an array of this name."""
    for look in found:
        name = look.text.format(name)
    return name


def run(array: Array, found: Looks) -> Array:
    """The steps on an array."""
    for look in found:
        array = look.apply(array)
    return array


def _candidates(base: Place, target: Place) -> Iterator[Looks]:
    """Ways that may be right, the plainest first."""
    yield ()
    yield (_reshape(target.shape),)
    core = _core(target)
    for inner in (_along_axes, _reshaped, _in_memory, _strided):
        found = inner(base, core)
        if found is not None:
            yield (*found, *_placed(core, target))


# ---------------------------------------------------------------- axes that count


@dataclass(frozen=True)
class Core:
    """The axes of a place that have more than one element of their own, all walked forwards.

    `axes` are their numbers in the place, `turned` those of them that the place walks backwards.
    """

    axes: tuple[int, ...]
    shape: Shape
    strides: tuple[int, ...]
    offset: int
    turned: tuple[bool, ...]


def _core(place: Place) -> Core:
    axes = tuple(i for i, n in enumerate(place.shape) if n != 1 and place.strides[i] != 0)
    back = sum((place.shape[i] - 1) * place.strides[i] for i in axes if place.strides[i] < 0)
    return Core(
        axes,
        tuple(place.shape[i] for i in axes),
        tuple(abs(place.strides[i]) for i in axes),
        place.offset + back,
        tuple(place.strides[i] < 0 for i in axes),
    )


def _placed(core: Core, target: Place) -> Looks:
    """From the core's axes to those of the place: turned, with axes of one element, and stretched."""
    found: list[Look] = []
    if any(core.turned):
        found.append(_index([slice(None, None, -1 if turned else None) for turned in core.turned]))
    shape, last = target.shape, len(target.shape)
    stretched = any(n != 1 and stride == 0 for n, stride in zip(shape, target.strides, strict=True))
    full = tuple(n if i in core.axes else 1 for i, n in enumerate(shape))
    if full != core.shape and not (stretched and core.axes == tuple(range(last - len(core.axes), last))):
        found.append(_reshape(full))
    if stretched:
        found.append(Look(f"np.broadcast_to({{}}, {shape})", lambda a: np.broadcast_to(a, shape)))
    return tuple(found)


# ---------------------------------------------------------------- ways to get the core


def _along_axes(base: Place, core: Core) -> Looks | None:
    """Slices of the base's axes and an order of them."""
    by_stride = sorted((i for i, n in enumerate(base.shape) if n != 1), key=lambda i: -base.strides[i])
    key: list[Any] = [slice(None) if n == 1 else None for n in base.shape]
    start, used = core.offset - base.offset, []
    wanted = sorted(range(len(core.axes)), key=lambda i: -core.strides[i])
    for axis in by_stride:
        stride = base.strides[axis]
        if stride <= 0:
            return None
        key[axis], start = divmod(start, stride)
        if wanted and core.strides[wanted[0]] % stride == 0:
            number = wanted.pop(0)
            used.append((axis, number))
            step = core.strides[number] // stride
            end = key[axis] + (core.shape[number] - 1) * step + 1
            if end > base.shape[axis] or key[axis] < 0:
                return None
            key[axis] = _slice(key[axis], end, step, base.shape[axis])
    if wanted or start:
        return None
    key = [0 if k == slice(None) and n == 1 else k for k, n in zip(key, base.shape, strict=True)]
    kept = [number for _, number in sorted(used)]
    return (*_indexed(key), *_ordered([kept.index(i) for i in range(len(kept))]))


def _reshaped(base: Place, core: Core) -> Looks | None:
    """All of the base in another shape."""
    return (_reshape(core.shape),) if math.prod(core.shape) == base.size else None


def _in_memory(base: Place, core: Core) -> Looks | None:
    """The base's memory with as many axes as the core, of which each then takes a part, in another order.

    That goes where each stride is a multiple of the next: they are then the sizes of the axes behind.
    """
    first = _flat(base)
    order = sorted(range(len(core.axes)), key=lambda i: -core.strides[i])
    steps = [base.size, *(core.strides[i] for i in order), 1]
    if first is None or any(a % b for a, b in pairwise(steps)):
        return None
    shape = [a // b for a, b in pairwise(steps)]
    start, key = core.offset - base.offset, []
    for number, stride, size in zip(order, steps[1:], shape, strict=False):
        begin, start = divmod(start, stride)
        key.append(_slice(begin, begin + core.shape[number], 1, size))
    parts: list[int | slice] = [*key, start]
    if shape[-1] == 1:  # the last axis has a stride of 1 itself
        shape, parts = shape[:-1], parts[:-1]
    turned = _ordered([order.index(i) for i in range(len(order))])
    return (*first, _reshape(tuple(shape)), *_indexed(parts), *turned)


def _strided(base: Place, core: Core) -> Looks | None:
    """The base's memory with the core's own strides."""
    first = _flat(base)
    if first is None:
        return None
    shape, strides, offset = core.shape, core.strides, core.offset - base.offset

    def apply(array: Array) -> Array:
        return as_strided(array.reshape(-1)[offset:], shape, [s * array.itemsize for s in strides])

    return (*first, Look(f"strided({{}}, {shape}, {strides}, {offset})", apply))


def _flat(base: Place) -> Looks | None:
    """The base with its axes in the order of memory; None where it leaves gaps."""
    order = sorted(range(len(base.shape)), key=lambda i: (base.shape[i] == 1, -base.strides[i], i))
    dense = Place.dense(base.buffer, base.spec, order)
    if any(n != 1 and a != b for n, a, b in zip(base.shape, base.strides, dense.strides, strict=True)):
        return None
    return _ordered(order)


# ---------------------------------------------------------------- steps


def _reshape(shape: Shape) -> Look:
    text = ", ".join(map(str, shape)) or "()"
    return Look(f"{{}}.reshape({text})", lambda a: np.reshape(a, shape, copy=False))


def _slice(begin: int, end: int, step: int, size: int) -> slice:
    """A slice with no more said than needed."""
    return slice(begin or None, None if end + step > size else end, None if step == 1 else step)


def _indexed(key: Sequence[int | slice]) -> Looks:
    """An index, if it leaves anything out."""
    return () if all(k == slice(None) for k in key) else (_index(key),)


def _index(key: Sequence[int | slice]) -> Look:
    parts: list[Any] = list(key)
    while len(parts) > 1 and parts[-1] == slice(None):
        parts.pop()
    if not any(isinstance(part, slice) for part in parts):
        parts.append(...)  # with numbers alone NumPy gives a number, no view
    return Look(f"{{}}[{index_text(parts)}]", lambda a: a[tuple(parts)])


def index_text(key: Sequence[Any]) -> str:
    """What stands between the brackets of an index.

    >>> index_text((slice(1, None), None, 3, ..., slice(None, None, -1)))
    '1:, None, 3, ..., ::-1'
    """
    return ", ".join(map(_part, key)) or "()"


def _part(part: Any) -> str:
    if not isinstance(part, slice):
        return "..." if part is ... else str(part)
    begin, end = ("" if end is None else str(end) for end in (part.start, part.stop))
    return f"{begin}:{end}" + (f":{part.step}" if part.step is not None else "")


def _ordered(order: Sequence[int]) -> Looks:
    """A permutation of the axes, if it changes any."""
    axes = tuple(order)
    if axes == tuple(range(len(axes))):
        return ()
    return (Look("{}.T" if axes == (1, 0) else f"{{}}.transpose{axes}", lambda a: a.transpose(axes)),)


def _agrees(base: Place, target: Place, found: Looks) -> bool:
    """Whether these steps lead to the target: NumPy takes them on an array that lies as the base does."""
    lowest = sum((n - 1) * min(s, 0) for n, s in zip(base.shape, base.strides, strict=True))
    size = 1 + sum((n - 1) * abs(s) for n, s in zip(base.shape, base.strides, strict=True))
    memory = np.empty(size, base.dtype)
    item = base.dtype.itemsize
    array = as_strided(memory[-lowest:], base.shape, [s * item for s in base.strides])
    try:
        seen = run(array, found)
    except (ValueError, IndexError):
        return False
    moved = (_address(seen) - _address(array)) // item
    strides = [s // item for s in seen.strides]
    return (
        seen.shape == target.shape
        and moved == target.offset - base.offset
        and all(n == 1 or a == b for n, a, b in zip(target.shape, strides, target.strides, strict=True))
    )


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
