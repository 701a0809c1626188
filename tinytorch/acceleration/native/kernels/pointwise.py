"""Element-wise chains as one pass over memory: each element is read once, and no array lies in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinytorch.acceleration.graph import Call, describe
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.expressions import emit_op, text_of
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, load_run, nest, shifted, store_run
from tinytorch.acceleration.native.kernels.lookup import along
from tinytorch.acceleration.native.place import Place, merged
from tinytorch.acceleration.native.values import Pointer, Value
from tinytorch.ops.spec import Spec


@dataclass(frozen=True)
class Body:
    """Element-wise calls, one after the other, on values by number: a chain, or rather a small graph of them.

    `inputs` are numbers of what is read, `outputs` of what is wanted; `specs` of all.
    """

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    specs: dict[int, Spec]

    def signature(self) -> tuple[Any, ...]:
        """The body with its values numbered anew, so that equal ones look equal."""
        number = {value: i for i, value in enumerate(self.inputs)}
        for call in self.calls:
            for value in call.made:
                number.setdefault(value, len(number))
        lines = tuple(
            (
                describe(call.op),
                tuple((number[v], self.specs[v].dtype.name) for v in call.inputs),
                tuple((number[v], self.specs[v].dtype.name) for v in call.made),
            )
            for call in self.calls
        )
        return lines, tuple(number[v] for v in self.outputs)

    def emit(self, e: Emitter, values: Sequence[Value]) -> list[Value]:
        """Emit all calls on values for the inputs."""
        known = dict(zip(self.inputs, values, strict=True))
        for call in self.calls:
            found = emit_op(
                e,
                call.op,
                [self.specs[v] for v in call.inputs],
                [self.specs[v] for v in call.made],
                [known[v] for v in call.inputs],
            )
            known.update(zip(call.made, found, strict=True))
        return [known[v] for v in self.outputs]

    def text(self, names: Sequence[str], prefix: str = "v") -> tuple[list[str], list[str]]:
        """Lines of Python for one element, and the names of the outputs."""
        known = dict(zip(self.inputs, names, strict=True))
        lines = []
        for call in self.calls:
            right = text_of(call.op, [known[v] for v in call.inputs])
            for value in call.made:
                known[value] = f"{prefix}{len(known)}"
            lines.append(f"{', '.join(known[v] for v in call.made)} = {right}")
        return lines, [known[v] for v in self.outputs]


class Pointwise(Kernel):
    """A body for every element of a shape; inputs are stretched to it."""

    shares = True

    def __init__(
        self, body: Body, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        shape = writes[0].shape
        self.body, self.calls = body, tuple(calls)
        self.reads = tuple(place.broadcast(shape) for place in reads)
        self.writes = tuple(writes)

    overwrites = True

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads

    def signature(self) -> tuple[Any, ...]:
        return "pointwise", self.body.signature(), *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        places = (*self.writes, *self.reads)
        sizes, strides = merged(places[0].shape, [place.strides for place in places])
        *outer, inner = sizes or [1]
        lanes = lanes_for(places)
        steps = [s[-1] if s else 0 for s in strides]
        with self._rows(e, outer) as indices:
            pointers = [shifted(p, indices, s[:-1]) for p, s in zip((*writes, *reads), strides, strict=True)]
            still = {
                i: load_run(p, 0, lanes)
                for i, (p, step) in enumerate(zip(pointers, steps, strict=True))
                if step == 0 and i >= len(writes)
            }

            def piece(at: Value, count: int) -> None:
                here = [
                    p if i in still else p + at * step
                    for i, (p, step) in enumerate(zip(pointers, steps, strict=True))
                ]
                values = [
                    still[i] if i in still else load_run(here[i], steps[i], lanes, count)
                    for i in range(len(writes), len(here))
                ]
                for target, step, value in zip(here, steps, self.body.emit(e, values), strict=False):
                    store_run(target, e.spread(value, lanes), step, count)

            along(e, inner, lanes, lambda at, _, count: piece(at, count), shared=not outer)

    @contextmanager
    def _rows(self, e: Emitter, outer: Sequence[int]) -> Iterator[list[Value]]:
        """Loops over all axes but the fastest, the first of them shared by threads."""
        if not outer:
            yield []
            return
        with e.shared_loop(outer[0]) as first, nest(e, outer[1:]) as others:
            yield [first.index, *others]

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        names, loops = loop_lines([(f"i{axis}", n) for axis, n in enumerate(self.writes[0].shape)])
        yield from loops
        pad = "    " * len(loops)
        given = [at(read, names, place) for read, place in zip(reads, self.reads, strict=True)]
        lines, made = self.body.text(given)
        for line in lines:
            yield pad + line
        for write, name in zip(writes, made, strict=True):
            yield f"{pad}{write}[{', '.join(names) or '()'}] = {name}"


def loop_lines(sizes: Sequence[tuple[str, int]]) -> tuple[list[str], list[str]]:
    """Lines of Python for loops inside each other, one for each name and size, and their indices.

    >>> loop_lines([("i", 3), ("j", 1), ("k", 2)])
    (['i', '0', 'k'], ['for i in range(3):', '    for k in range(2):'])
    """
    counted = [(name, n) for name, n in sizes if n != 1]
    lines = [f"{'    ' * depth}for {name} in range({n}):" for depth, (name, n) in enumerate(counted)]
    return [name if n != 1 else "0" for name, n in sizes], lines


def at(name: str, indices: Sequence[str], place: Place) -> str:
    """An element of a named array, of which the program's text holds each operand as it is stretched."""
    return f"{name}[{', '.join(indices)}]" if indices else f"{name}[()]"


def lanes_for(places: Sequence[Place]) -> int:
    """How many elements to handle at a time."""
    floats = [place.dtype.itemsize for place in places if place.dtype.kind == "f"]
    return 32 // min(floats) if floats else 8
