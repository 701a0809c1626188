"""Kernel: a function of a program, its operands, and the calls it computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value


class Kernel(ABC):
    """One function of a program.

    `reads` and `writes` are places; the function gets a pointer to the first element of each, reads first.
    Kernels of equal `signature()` share their code: all that `emit` depends on must be in it.
    """

    reads: tuple[Place, ...]
    writes: tuple[Place, ...]
    calls: tuple[Call, ...] = ()
    scratch: int = 0
    """Bytes of working memory that it wants."""
    shares: bool = False
    """Whether several threads may run it at once, each with its part of the rounds and its own scratch."""

    @property
    def in_place(self) -> tuple[Place, ...]:
        """Reads that may lie where a write lies: each element is read just before it is written."""
        return ()

    overwrites: bool = False
    """Whether any result may lie where any of `in_place` does: an element is read before it is written."""

    returns: bool = False
    """Whether the function returns a number, which ends the program unless it is 0."""

    @abstractmethod
    def signature(self) -> tuple[Any, ...]:
        """What the code depends on, as plain values."""

    @abstractmethod
    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        """Emit the function's body; `scratch` is the address of working memory."""

    @abstractmethod
    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        """The same as lines of Python, with names for the operands, which are arrays there."""

    @property
    def name(self) -> str:
        """What it computes, in a word or two."""
        return "+".join(call.op.name for call in self.calls)


def layout(place: Place) -> tuple[Any, ...]:
    """What code depends on of a place: all but buffer and offset."""
    return place.dtype.name, place.shape, place.strides


@contextmanager
def nest(e: Emitter, sizes: Sequence[int]) -> Iterator[list[Value]]:
    """Loops inside each other, one for each size: their indices."""
    with ExitStack() as stack:
        yield [stack.enter_context(e.loop(n)).index for n in sizes]


def shifted(pointer: Pointer, indices: Sequence[Value], strides: Sequence[int]) -> Pointer:
    """The pointer moved to an index."""
    for index, stride in zip(indices, strides, strict=True):
        if stride:
            pointer = pointer + (index if stride == 1 else index * stride)
    return pointer


def all_shifted(
    pointers: Sequence[Pointer], places: Sequence[Place], indices: Sequence[Value]
) -> list[Pointer]:
    """The pointer of each place moved to an index of its first axes."""
    first = len(indices)
    return [shifted(p, indices, place.strides[:first]) for p, place in zip(pointers, places, strict=True)]


def load_run(pointer: Pointer, stride: int, lanes: int, count: int | None = None) -> Value:
    """The next `lanes` elements that lie `stride` apart; those from `count` on are zeros."""
    if lanes == 1:
        return pointer.load()
    if stride == 1:
        return pointer.load(lanes, count)
    e = pointer.emitter
    if stride == 0:
        return e.spread(pointer.load(), lanes)
    vector = None
    for lane in range(lanes if count is None else min(count, lanes)):
        one = (pointer + lane * stride).load()
        if vector is None:
            vector = e.spread(one, lanes)
        else:
            vector = Value(e, e.builder.insert_element(vector.ir, one.ir, ir.Constant(ir.IntType(32), lane)))
    assert vector is not None, "there is at least one element"
    return vector


def store_run(pointer: Pointer, value: Value, stride: int, count: int | None = None) -> None:
    """Write the lanes of a value `stride` apart, or the first `count` of them."""
    if stride == 1 or value.lanes == 1:
        pointer.store(value, count)
        return
    e = pointer.emitter
    for lane in range(value.lanes if count is None else min(count, value.lanes)):
        one = Value(e, e.builder.extract_element(value.ir, ir.Constant(ir.IntType(32), lane)))
        (pointer + lane * stride).store(one)


def load_beside(
    pointers: Sequence[Pointer],
    places: Sequence[Place],
    at: Sequence[Value],
    axis: int,
    lanes: int,
    count: int | None = None,
) -> list[Value]:
    """The values of each place at an index of its last axes, and the next ones along one of those."""
    found = []
    for pointer, place in zip(pointers, places, strict=True):
        strides = place.strides[-len(at) :]
        found.append(load_run(shifted(pointer, at, strides), strides[axis], lanes, count))
    return found


def store_beside(
    pointers: Sequence[Pointer],
    places: Sequence[Place],
    at: Sequence[Value],
    axis: int,
    values: Sequence[Value],
    count: int | None = None,
) -> None:
    """Write values to each place where `load_beside` would read them."""
    for pointer, place, value in zip(pointers, places, values, strict=True):
        strides = place.strides[-len(at) :]
        store_run(shifted(pointer, at, strides), value, strides[axis], count)
