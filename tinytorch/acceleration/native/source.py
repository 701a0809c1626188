"""The source of a program: its kernels in its memory as a Python module of loops, to read and to run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.memory import Life, overlap
from tinytorch.acceleration.native.functions import WIDTH, Functions, call_lines, folded, module, reserved
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.layout import Layout, operands
from tinytorch.acceleration.native.lower import Fallback, Step
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.prepared import Prepared, left_to_numpy
from tinytorch.acceleration.native.views import looks, text_of
from tinytorch.errors import ProgramError
from tinytorch.ops.spec import Array, Spec

Names = Mapping[int, str]
"""What states are called, by the number of their value."""


class Planned(Protocol):
    """What has a plan of its memory: a program, or one that has not been made yet."""

    layout: Layout


def render(program: Planned, names: Names | None = None) -> str:
    """A module with a function `program(inputs, states, ops)` that does what the program does, loop by loop.

    Kernels are functions of arrays, values of the arena lie in one array at the same places, and each step
    names the modules that it computes for. `names` says what states are called: by number (s3) if left out.

    >>> import numpy as np
    >>> from tinytorch.acceleration.native.lower import lower
    >>> from tinytorch.acceleration.native.program import Program
    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> program = Program(lower(trace(lambda x: x * x, [Tensor([1.0, 3.0])]).graph), use_cache=False)
    >>> text = render(program)
    >>> print(text[text.index("def mul") : text.index("@np.errstate")].strip())
    def mul(a, out):
        \"\"\"a (2) -> out (2)\"\"\"
        for i0 in range(2):
            v1 = a[i0] * a[i0]
            out[i0] = v1
    >>> run_source(text, [np.array([1.0, 3.0], np.float32)], states_of(program))
    [array([1., 9.], dtype=float32)]
    """
    writer = _Writer(program.layout, Prepared(program.layout.lowered, names or {}))
    body = list(writer.body())
    functions = [*writer.functions.texts.values(), body]
    return module(list(writer.docstring()), functions)


def states_of(program: Planned, names: Names | None = None) -> dict[str, Array]:
    """What `states` is for a program's source: the arrays that live outside of a run, by name, themselves."""
    return Prepared(program.layout.lowered, names or {}).arrays()


def ops_of(program: Planned) -> dict[str, Callable[..., Any]]:
    """What `ops` is for a program's source: the ops without a kernel, as functions of arrays, by name."""
    return {name: call.op.forward for name, call in left_to_numpy(program.layout.lowered)}


def run_source(
    text: str,
    inputs: Sequence[Array],
    states: Mapping[str, Array],
    ops: Mapping[str, Callable[..., Any]] | None = None,
) -> list[Array]:
    """Run a program's source on arrays: its outputs; what a run changes among `states` changes in place."""
    names: dict[str, Any] = {}
    exec(compile(text, "<source of a program>", "exec"), names)
    found: list[Array] = names["program"](inputs, states, ops or {})
    return found


class _Writer:
    """Writes the function `program`: memory as it is first used, a call for each step."""

    def __init__(self, layout: Layout, prepared: Prepared) -> None:
        self.prepared, self.ops = prepared, prepared.ops
        self.layout, self.lowered, self.graph = layout, layout.lowered, layout.lowered.graph
        self.functions = Functions()
        self.calls = [self.functions.name(s) if isinstance(s, Kernel) else "" for s in self.lowered.steps]
        self.variables = self._variables()
        self.bases: dict[int, Place] = {}
        self.places: dict[int, list[Place]] = {}
        self.lives: dict[int, Life] = {}
        for at, step in enumerate(self.lowered.steps):
            for place in operands(step):
                self.places.setdefault(place.buffer, []).append(place)
                root = self.layout.resolve(place.buffer)
                first = self.lives[root].first if root in self.lives else at
                self.lives[root] = Life(self.lowered.buffers[root].nbytes, first, at)
        self.declared: list[int] = []

    def _variables(self) -> dict[int, str]:
        """What each buffer is called."""
        found: dict[int, str] = {}
        taken = {*reserved(), *self.calls, *self.prepared.variables.values()}
        inputs, outputs = len(self.graph.inputs), len(self.graph.outputs)
        count = 0
        used = dict.fromkeys(place.buffer for step in self.lowered.steps for place in operands(step))
        for number in used:
            buffer = self.lowered.buffers[number]
            if buffer.kind == "input":
                name = f"x{buffer.source}" if inputs > 1 else "x"
            elif buffer.kind == "output":
                name = f"out{buffer.source}" if outputs > 1 else "out"
            elif buffer.kind == "arena":
                count += 1
                name = f"t{count}"
            else:
                found[number] = self.prepared.of_buffer(number)
                continue
            while name in taken:
                name += "_"
            found[number] = name
            taken.add(name)
        return found

    # ------------------------------------------------------------ text around the steps

    def docstring(self) -> Iterator[str]:
        """What the module is, and what its function takes."""
        graph, count = self.graph, len(self.lowered.steps)
        yield '"""A compiled program as loops over arrays: slow, but step by step what the machine code does.'
        yield ""
        used = len(self.functions.texts)
        steps = f"{count} step{'s' if count != 1 else ''} of {used} function{'s' if used != 1 else ''}"
        size = self.layout.arena_bytes
        memory = f"; what lies between them takes {size:,} bytes, in one block that values share in turn"
        yield from self._paragraph(f"{steps}{memory if size else ''}.")
        yield ""
        given = ", ".join(str(graph.specs[v]) for v in graph.inputs)
        made = ", ".join(str(graph.specs[v]) for v in graph.outputs)
        yield from self._paragraph(f"program(inputs, states, ops) takes arrays [{given}] and gives [{made}].")
        if self.prepared.arrays():
            changed = len(graph.updates)
            some = f"; a run changes {changed} of them in place" if changed else ""
            yield from self._paragraph(f"states holds the arrays that live outside, by name{some}.")
        if self.ops:
            listed = ", ".join(sorted(self.ops.values()))
            yield from self._paragraph(f"ops holds by name what has no kernel and is NumPy's: {listed}.")
        yield '"""'

    def _paragraph(self, text: str) -> list[str]:
        return textwrap.wrap(text.replace("\\", "/").replace('"""', "'''"), WIDTH, break_on_hyphens=False)

    def body(self) -> Iterator[str]:
        """The function `program`, line by line."""
        yield '@np.errstate(all="ignore")'
        yield "def program(inputs, states, ops):"
        yield '    """The outputs for these inputs; states change in place."""'
        lines = [*self._given(), *self.prepared.lines(), *self._arena()]
        for at, step in enumerate(self.lowered.steps):
            lines += ["", *self._step(at, step)]
        for position, value in enumerate(self.graph.outputs):
            if position not in self._outputs():  # nothing is written to one without elements
                spec = self.graph.specs[value]
                lines.append(f'out{position}_ = np.empty({spec.shape}, "{spec.dtype}")')
        results = [self._outputs().get(i, f"out{i}_") for i in range(len(self.graph.outputs))]
        for line in (*lines, f"return [{', '.join(results)}]"):
            yield from folded(f"    {line}") if line else [""]

    def _outputs(self) -> dict[int, str]:
        return {
            self.lowered.buffers[n].source: name
            for n, name in self.variables.items()
            if self.lowered.buffers[n].kind == "output"
        }

    def _given(self) -> Iterator[str]:
        for number, name in sorted(self.variables.items(), key=lambda item: item[1]):
            buffer = self.lowered.buffers[number]
            if buffer.kind == "input":
                spec = self.graph.specs[self.graph.inputs[buffer.source]]
                yield f"{name} = inputs[{buffer.source}]  # {spec}"

    def _arena(self) -> Iterator[str]:
        if self.layout.arena_bytes:
            yield ""
            yield "# memory for all that lies between steps, and for what kernels use inside"
            yield f"arena = np.zeros({self.layout.arena_bytes}, np.uint8)"

    # ------------------------------------------------------------ steps

    def _step(self, at: int, step: Step) -> Iterator[str]:
        yield from self._remark(step)
        for place in operands(step):
            yield from self._declared(place.buffer, at)
        if isinstance(step, Fallback):
            yield from self._fallback(step)
        else:
            arguments = [self._seen(place) for place in operands(step)]
            yield from (line[4:] for line in call_lines(self.calls[at], arguments, "    "))

    def _remark(self, step: Step) -> list[str]:
        """A comment that says which modules or states a step computes for, and what."""
        calls: Sequence[Call] = [step.call] if isinstance(step, Fallback) else step.calls
        ones = [one for call in calls for one in parts(call)]
        if not ones:
            return []
        where = ", ".join(dict.fromkeys(one.path for one in ones if one.path))
        if any(one.backward for one in ones):
            where = f"backward of {where}" if where else "backward"
        written = self._written(step)
        text = f"{where}{': ' if where else ''}{', '.join(one.op.name for one in ones)}{written}"
        return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 6, break_on_hyphens=False)]

    def _written(self, step: Step) -> str:
        """The first state that a step writes."""
        places = step.writes.values() if isinstance(step, Fallback) else step.writes
        for place in places:
            buffer = self.lowered.buffers[place.buffer]
            if buffer.kind == "state":
                return f" into {self.prepared.names[buffer.source]}"
        return ""

    def _declared(self, number: int, at: int) -> Iterator[str]:
        """A line that makes a buffer's variable, if there is none yet."""
        if number not in self.declared:
            self.declared.append(number)
            yield from self._declaration(number, at)

    def _declaration(self, number: int, at: int) -> Iterator[str]:
        buffer, base, name = self.lowered.buffers[number], self._base(number), self.variables[number]
        if buffer.kind == "output":
            yield f'{name} = np.empty({base.shape}, "{base.dtype}")'
        elif buffer.kind == "arena":
            order = memory_order(base)
            shape = tuple(base.shape[i] for i in order)
            root = self.layout.resolve(number)
            if root in self.layout.lent:
                lender, offset = self.layout.lent[root]
                memory = self.variables[lender]
                yield from self._declared(lender, at)
            else:
                memory, offset = "arena", self.layout.offset[root]
            back = tuple(order.index(i) for i in range(len(order)))
            turned = f".transpose{back}" if back != tuple(range(len(back))) else ""
            whose = self._reuse(number, at)
            yield f'{name} = np.ndarray({shape}, "{base.dtype}", {memory}, {offset}){turned}{whose}'

    def _reuse(self, number: int, at: int) -> str:
        """Whose memory a buffer takes over."""
        root = self.layout.resolve(number)
        if root != number:
            return f"  # in place of {self.variables[root]}"
        if root in self.layout.lent:
            return "  # there until that is written"
        here = self._span(root)
        earlier = [
            (life.last, self.variables[other])
            for other, life in self.lives.items()
            if other in self.layout.offset and life.last < at and overlap(here, self._span(other))
        ]
        return f"  # where {', '.join(name for _, name in sorted(earlier)[-3:])} lay" if earlier else ""

    def _span(self, root: int) -> Life:
        """The bytes of the arena that a buffer takes, from the first to the last."""
        offset, nbytes = self.layout.offset[root], self.lowered.buffers[root].nbytes
        return Life(nbytes, offset, offset + max(nbytes, 1) - 1)

    def _fallback(self, step: Fallback) -> Iterator[str]:
        call, arguments = step.call, [self._seen(place) for place in step.reads]
        for position, value in zip(call.op.mutates, call.writes, strict=True):
            target = self._seen(step.writes[value])
            if target != arguments[position]:
                yield f"{target}[...] = {arguments[position]}"
            arguments[position] = target
        found = f'ops["{self.ops[id(call)]}"]({", ".join(arguments)})'
        made = [value for value in call.outputs if value not in call.writes]
        if call.op.outputs > 1 or not made:
            yield f"found = {found}"
        for position, value in enumerate(call.outputs):
            if value in made:
                result = f"found[{position}]" if call.op.outputs > 1 else found
                yield f"{self._seen(step.writes[value])}[...] = {result}"

    # ------------------------------------------------------------ places

    def _base(self, number: int) -> Place:
        """How the array lies that stands for a buffer."""
        if number not in self.bases:
            self.bases[number] = self._found_base(number)
        return self.bases[number]

    def _found_base(self, number: int) -> Place:
        buffer, graph = self.lowered.buffers[number], self.graph
        if buffer.kind == "input":
            return Place.dense(number, graph.specs[graph.inputs[buffer.source]])
        if buffer.kind == "output":
            return Place.dense(number, graph.specs[graph.outputs[buffer.source]])
        if buffer.kind == "state":
            array = graph.states[buffer.source]._array
            strides = tuple(s // array.itemsize for s in array.strides)
            return Place(number, array.dtype, array.shape, strides)
        if buffer.kind == "constant":
            return Place.dense(number, graph.specs[self.prepared.constant(number)])
        if buffer.kind == "packed":
            return Place.dense(number, self.prepared.spec(number))
        for place in self.places[number]:
            order = memory_order(place)
            dense = Place.dense(number, place.spec, order)
            if place.spec.nbytes == buffer.nbytes and looks(dense, place) == ():
                return dense
        dtype = self.places[number][0].dtype
        return Place.dense(number, Spec((buffer.nbytes // dtype.itemsize,), dtype))

    def _seen(self, place: Place) -> str:
        """A place in Python: a variable and how it is looked at."""
        if not place.size:
            return f'np.empty({place.shape}, "{place.dtype}")'
        found = looks(self._base(place.buffer), place)
        if found is None:
            raise ProgramError(
                f"source: {self.variables[place.buffer]} cannot be seen as {place.spec} in NumPy"
            )
        return text_of(self.variables[place.buffer], found)


def memory_order(place: Place) -> list[int]:
    """The axes of a place from the slowest to the fastest; those of one element keep their neighbours."""
    order = sorted(range(len(place.shape)), key=lambda i: (-place.strides[i], i))
    counted = [i for i in order if place.shape[i] != 1]
    return list(range(len(order))) if counted == sorted(counted) else order
