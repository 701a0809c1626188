"""What a program's source begins with: states and constants by name, and what is made of them once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.interpret import run_call
from tinytorch.acceleration.native import expressions
from tinytorch.acceleration.native.functions import HELPERS, identifier, reserved
from tinytorch.acceleration.native.kernels.convolution import Convolve
from tinytorch.acceleration.native.kernels.convolution_codes import ConvolveCodes
from tinytorch.acceleration.native.kernels.gemm import Gemm
from tinytorch.acceleration.native.kernels.integer import GroupGemm, IntGemm
from tinytorch.acceleration.native.kernels.winograd import Winograd
from tinytorch.acceleration.native.layout import operands
from tinytorch.acceleration.native.lower import Fallback, Lowered, Packed
from tinytorch.acceleration.native.views import index_text
from tinytorch.ops import activation, arithmetic, compare, elementwise, quantize, update
from tinytorch.ops.base import Op
from tinytorch.ops.context import rules
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Contiguous, Expand, Permute, Reshape
from tinytorch.ops.spec import Array, Spec

SMALL = 8
"""Elements of a constant that is written out."""
_ONE_BY_ONE: tuple[type[Op], ...] = (
    activation.GeluTanh,
    activation.GeluTanhGrad,
    compare.Where,
    elementwise.Erf,
    elementwise.ReluGrad,
    quantize.FakeQuantize,
    quantize.Quantize,
    update.SGDUpdate,
)
"""Ops whose text holds for single numbers only."""


def left_to_numpy(lowered: Lowered) -> list[tuple[str, Call]]:
    """Calls that the source has computed by their op's own forward, each with a name."""
    calls = [call for call in lowered.graph.prologue if expression(call.op, [""] * len(call.inputs)) is None]
    calls += [step.call for step in lowered.steps if isinstance(step, Fallback)]
    return [(f"{identifier(call.op.name)}_{i}", call) for i, call in enumerate(calls, start=1)]


class Prepared:
    """The first lines of a source: variables for states, constants, the prologue and packed buffers."""

    def __init__(self, lowered: Lowered, names: Mapping[int, str]) -> None:
        self.lowered, self.graph = lowered, lowered.graph
        self.ops = {id(call): name for name, call in left_to_numpy(lowered)}
        used = dict.fromkeys(place.buffer for step in self.lowered.steps for place in operands(step))
        self.buffers = [n for n in used if self.lowered.buffers[n].kind in ("state", "constant", "packed")]
        self.names = self._names(names)
        self.variables: dict[int, str] = {}
        """By value: states, constants and what the prologue makes."""
        self._taken = {*reserved(), "inputs", "states", "ops", "arena", "found"}
        for value in self._outside():
            constant = value in self.graph.constants
            self.variables[value] = self._free(f"c{value}" if constant else identifier(self.names[value]))
        for call in self.graph.prologue:
            for value in call.made:
                self.variables[value] = self._free(f"p{value}")
        self._values = self._computed()
        self._ways: dict[int, tuple[str, str]] = {}
        """For each packed buffer the text that makes it, and a remark."""
        self._packed: dict[int, str] = {}
        """What packed buffers are called: those that are no more than the value itself have its name."""
        for number in self.buffers:
            if self.lowered.buffers[number].kind == "packed":
                self._add_packed(number)

    def _names(self, names: Mapping[int, str]) -> dict[int, str]:
        """What states are called, no two alike."""
        found: dict[int, str] = {}
        for value in self.graph.states:
            name = names.get(value) or self.graph.name(value)
            found[value] = name if name not in found.values() else f"{name}.{value}"
        return found

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _outside(self) -> list[int]:
        """The states and constants that the source reads or writes."""
        graph = self.graph
        sources = [v for call in graph.prologue for v in call.inputs]
        for number in self.buffers:
            buffer = self.lowered.buffers[number]
            if buffer.kind == "packed":
                sources.append(buffer.source.value)
            elif buffer.kind == "state":
                sources.append(buffer.source)
            else:
                sources.append(self.constant(number))
        return sorted({v for v in sources if v in graph.states or v in graph.constants})

    def constant(self, number: int) -> int:
        """The value of a constant's buffer."""
        return next(
            v
            for v in self.graph.constants
            if v in self.lowered.places and self.lowered.places[v].buffer == number
        )

    def of_buffer(self, number: int) -> str:
        """The variable of a buffer that lives outside of a run."""
        buffer = self.lowered.buffers[number]
        if buffer.kind == "packed":
            return self._packed[number]
        return self.variables[buffer.source if buffer.kind == "state" else self.constant(number)]

    def spec(self, number: int) -> Spec:
        """Shape and dtype of a packed buffer's variable."""
        made = self._made(number)
        return Spec(made.shape, made.dtype)

    def arrays(self) -> dict[str, Array]:
        """The arrays that are not written out, by name: states themselves, and large constants."""
        graph = self.graph
        found = {self.names[v]: graph.states[v]._array for v in self.variables if v in graph.states}
        for value in self.variables:
            if value in graph.constants and graph.constants[value].size > SMALL:
                found[f"constant {value}"] = graph.constants[value]
        for number, (text, _) in self._ways.items():
            if not text:
                found[f"packed {number}"] = self._made(number)
        return found

    # ------------------------------------------------------------ lines

    def lines(self) -> Iterator[str]:
        """States and constants by name, then what is made of them."""
        graph = self.graph
        for value, name in self.variables.items():
            if value in graph.states:
                yield f"{name} = states[{json.dumps(self.names[value])}]  # {graph.specs[value]}"
            elif value in graph.constants:
                array = graph.constants[value]
                if array.size > SMALL:
                    yield f'{name} = states["constant {value}"]  # {graph.specs[value]}'
                else:
                    yield f"{name} = {_literal(array)}"
        if graph.prologue or self._ways:
            yield ""
            yield "# made ahead of the first run, and again when what it is made of has changed"
        for call in graph.prologue:
            arguments = [self.variables[v] for v in call.inputs]
            text = expression(call.op, arguments)
            if text is None:
                text = f'ops["{self.ops[id(call)]}"]({", ".join(arguments)})'
            yield f"{', '.join(self.variables[v] for v in call.made)} = {text}"
        for number, (text, note) in self._ways.items():
            given = f'states["packed {number}"]'
            yield f"{self._packed[number]} = {text or given}{note}"

    # ------------------------------------------------------------ packed buffers

    def _computed(self) -> dict[int, Array]:
        """States, constants and what the prologue makes."""
        values = {**self.graph.constants, **{v: t._array for v, t in self.graph.states.items()}}
        for call in self.graph.prologue:
            run_call(call, values)
        return values

    def _made(self, number: int) -> Array:
        """What a packed buffer holds."""
        packed: Packed = self.lowered.buffers[number].source
        value = self._values[packed.value]
        made = np.ascontiguousarray(packed.make(value))
        return made if value.ndim else made.reshape(())  # NumPy gives a number an axis

    def _add_packed(self, number: int) -> None:
        """Find a name for a packed buffer, and how it is made, which is checked against what it holds."""
        root: int = self.lowered.buffers[number].source.value
        name, value, wanted = self.variables[root], self._values[root], self._made(number)
        if value.flags.c_contiguous and _same(value, wanted):
            self._packed[number] = name
            return
        self._packed[number] = self._free(f"{name}_packed")
        self._ways[number] = ("", "")
        for text, note in self._candidates(number, name):
            if _same(eval(text, {**HELPERS, "np": np}, {name: value}), wanted):
                self._ways[number] = (text, note)

    def _candidates(self, number: int, name: str) -> Iterator[tuple[str, str]]:
        """Texts that may say how a packed buffer is made of the value with this name, with remarks."""
        yield f"np.ascontiguousarray({name})", ""
        for step in self.lowered.steps:
            if isinstance(step, Gemm) and step.reads[1].buffer == number:
                side, width = self._as_seen(step, number, name), step.product.width
                if side:
                    yield f"packed({side}, {width})", f"  # panels of {width} columns"
            elif isinstance(step, GroupGemm) and step.reads[1].buffer == number:
                yield f"packed_nibbles({name}, {step.width})", f"  # panels of {step.width} columns"
            elif isinstance(step, IntGemm) and step.reads[1].buffer == number:
                codes = step.codes.codes
                yield f"packed_codes({name}, {step.width}, {codes})", f"  # panels of {step.width} columns"
            elif isinstance(step, ConvolveCodes) and step.reads[1].buffer == number:
                given = f"{step.windows.groups}, {step.width}, {step.codes.codes}, {step.runs}"
                yield f"filter_codes({name}, {given})", f"  # panels of {step.width} filters"
            elif isinstance(step, Convolve) and step.reads[1].buffer == number:
                call = f"filter_panels({name}, {step.windows.groups}, {step.width})"
                yield call, f"  # panels of {step.width} filters"
            elif isinstance(step, Winograd) and step.reads[1].buffer == number:
                yield f"transformed_filters({name}, {step.width})", f"  # panels of {step.width} filters"

    def _as_seen(self, step: Gemm, number: int, name: str) -> str:
        """The right side of a product as a view of the value that it is packed from; "" if it is none."""
        graph, root = self.graph, self.lowered.buffers[number].source.value
        makers, views = graph.makers(), []
        value = parts(step.calls[0])[0].inputs[1]
        while value != root and value in makers:
            maker = graph.calls[makers[value]]
            views.append(maker.op)
            value = maker.inputs[0]
        for op in reversed(views):
            name = expression(op, [name]) or ""
        return name if value == root else ""


def expression(op: Op, names: list[str]) -> str | None:
    """An op on whole arrays in NumPy's words; None where it has none as short."""
    if type(op).__name__ in rules:
        return None
    if isinstance(op, Reshape):
        return f"{names[0]}.reshape({', '.join(map(str, op.shape)) or '()'})"
    if isinstance(op, Permute):
        return f"{names[0]}.T" if op.order == (1, 0) else f"{names[0]}.transpose{tuple(op.order)}"
    if isinstance(op, Expand):
        return f"np.broadcast_to({names[0]}, {op.shape})"
    if isinstance(op, Contiguous):
        return f"np.ascontiguousarray({names[0]})"
    if isinstance(op, Slice):
        return f"{names[0]}[{index_text(op.key)}]"
    if isinstance(op, _ONE_BY_ONE) or type(op) not in expressions.EXPRESSIONS:
        return None
    if isinstance(op, arithmetic.Copy):
        return f"{names[0]}.copy()"
    return expressions.text_of(op, names)


def _same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _literal(array: Array) -> str:
    if not array.size:
        return f'np.empty({array.shape}, "{array.dtype}")'
    return f'np.array({array.tolist()!r}, "{array.dtype}")'
