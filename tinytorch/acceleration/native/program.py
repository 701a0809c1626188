"""Program: the kernels of a graph as one native function, its memory, and how it is called."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from tinytorch.acceleration import cache
from tinytorch.acceleration.fused import flops_of
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.interpret import interpret, run_call
from tinytorch.acceleration.memory import ALIGNMENT
from tinytorch.acceleration.native.choices import choose
from tinytorch.acceleration.native.engine import Code, object_file
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.layout import Layout
from tinytorch.acceleration.native.lower import Fallback, Lowered, Packed
from tinytorch.acceleration.native.module import emit_module, segment_names
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.team import run_together, wanted
from tinytorch.acceleration.native.waiting import told
from tinytorch.errors import ProgramError
from tinytorch.ops.base import epoch_of
from tinytorch.ops.spec import Array
from tinytorch.threads import limit

Segment = Callable[..., object]


class Program:
    """A lowered graph, ready to run on arrays.

    It checks nothing: inputs must be row-major arrays of the graph's shapes and dtypes.
    """

    def __init__(
        self, lowered: Lowered, use_cache: bool = True, threads: int | None = None, fixed: bool = False
    ) -> None:
        self.lowered, self.use_cache, self.fixed = lowered, use_cache, fixed
        self.graph = lowered.graph
        self.names = segment_names(lowered)
        self.output_specs = [self.graph.specs[v] for v in self.graph.outputs]
        self.work = work_of(self.graph)
        """FLOPs, as far as ops count them, and bytes that the calls read and write."""
        self._sources = {v: t for v, t in self.graph.states.items() if v not in self.graph.updates}
        self._build(wanted(*self.work) if threads is None else threads)
        self._free = threads is None

    def _build(self, threads: int) -> None:
        """Make the code for so many threads, or read it from disk, and room for what it works on."""
        if self.use_cache and not self.fixed:
            choose(self.lowered, threads)
        self.layout = Layout(self.lowered, threads)
        self.limit = limit()
        fingerprint = self.layout.fingerprint() if self.use_cache else ""
        content = cache.read(fingerprint) if self.use_cache else None
        self.from_disk = content is not None
        if content is None:
            content = self._compiled()
            if self.use_cache:
                cache.write(fingerprint, content)
        self.code = Code(content)
        self._counted: dict[str, Segment] | None = None
        self.segments: list[Segment | Fallback] = [
            s if isinstance(s, Fallback) else self._segment(self.code.function(s)) for s in self.names
        ]
        self.prepared_at = -1
        self._epochs: list[int] | None = None
        self._held: dict[int, Array] = {}
        self.table = np.zeros(4 + len(self.layout.slots), np.int64)
        self._status = self.table[self.layout.status_slot :]
        self._arena = _aligned(self.layout.arena_bytes)
        self.table[0] = _address(self._arena)
        for number, slot in self.layout.slots.items():
            buffer = self.lowered.buffers[number]
            if buffer.kind == "state":
                self._held[number] = self.graph.states[buffer.source]._array
            elif buffer.kind == "constant":
                self._held[number] = buffer.source
            else:
                self._held[number] = _aligned(buffer.nbytes)
            self.table[slot] = _address(self._held[number])

    def _compiled(self, counted: bool = False) -> bytes:
        """The object file of the program; who waits for it is told what is going on."""
        kernels = len({step.signature() for step in self.lowered.steps if isinstance(step, Kernel)})
        what = f"{kernels} kernel{'s' * (kernels != 1)}" + " with counters" * counted
        with told(f"compile: {what}", f"compile: {what} made"):
            return object_file(emit_module(self.layout, counted))

    def only_call(self) -> Segment | None:
        """The program's function where it is the only one, runs on this thread and checks no values."""
        checks = any(isinstance(step, Kernel) and step.returns for step in self.lowered.steps)
        if checks or len(self.segments) != 1 or self.layout.threads > 1:
            return None
        (only,) = self.segments
        return None if isinstance(only, Fallback) else only

    def _segment(self, function: Segment) -> Segment:
        """A function of the program of (table, inputs, outputs), however many threads run it."""
        count = self.layout.threads
        return function if count == 1 else functools.partial(run_together, count, function)

    def refresh(self, now: int) -> None:
        """Prepare again what rests on states that changed; `now` is the time on the clock of changes."""
        epochs = [epoch_of(tensor) for tensor in self._sources.values()]
        if self._epochs is None:
            self._prepare(None)
        elif epochs != self._epochs:
            pairs = zip(self._sources, self._epochs, epochs, strict=True)
            self._prepare({value for value, old, new in pairs if old != new})
        self._epochs = epochs
        self.prepared_at = now

    def _prepare(self, changed: set[int] | None) -> None:
        """Run the prologue, and fill the packed buffers that rest on the states named, or all."""
        graph = self.graph
        values = {**graph.constants, **{v: t._array for v, t in graph.states.items()}}
        rests: dict[int, set[int]] = {v: {v} for v in graph.states}
        for call in graph.prologue:
            run_call(call, values)
            rests.update(dict.fromkeys(call.made, set().union(*(rests.get(v, set()) for v in call.inputs))))
        for number, buffer in enumerate(self.lowered.buffers):
            if buffer.kind == "packed" and number in self.layout.slots:
                packed: Packed = buffer.source
                if changed is None or changed & rests.get(packed.value, set()):
                    found = np.ascontiguousarray(packed.make(values[packed.value]))
                    self._held[number][: found.nbytes] = found.reshape(-1).view(np.uint8)

    def run(self, inputs: Sequence[Array], now: int) -> list[Array]:
        """The outputs for these inputs; states change in place."""
        if self.limit != limit() and self._free:
            self._build(wanted(*self.work))
        if now != self.prepared_at:
            self.refresh(now)
        outputs = self._room()
        self._run_segments(inputs, outputs)
        return outputs

    def _room(self) -> list[Array]:
        return [np.empty(spec.shape, spec.dtype) for spec in self.output_specs]

    def _run_segments(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        given = [inputs[i] for i in self.layout.inputs]
        for segment in self.segments:
            if isinstance(segment, Fallback):
                self._fall_back(segment, inputs, outputs)
            else:
                segment(self.table, *given, *outputs)
                if self._status[0]:
                    self._refused(inputs)

    def kernel_seconds(self, runs: int, inputs: Sequence[Array], now: int) -> float:
        """Seconds of a run without the way in from Python, the median of `runs`; states change too."""
        outputs = self.run(inputs, now)
        times = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            self._run_segments(inputs, outputs)
            times.append(time.perf_counter_ns() - start)
        return float(np.median(times)) * 1e-9

    def counted_run(self, inputs: Sequence[Array], now: int) -> tuple[list[Array], list[float]]:
        """The outputs, and the seconds that each step took, from the build with counters."""
        if now != self.prepared_at:
            self.refresh(now)
        if self._counted is None:
            code = Code(self._compiled(counted=True))
            self._counted = {name: code.function(name) for name in self.names if isinstance(name, str)}
        steps = self.lowered.steps
        counters, seconds = np.zeros(len(steps), np.int64), np.zeros(len(steps))
        self.table[self.layout.counter_slot] = _address(counters)
        outputs = self._room()
        given = [inputs[i] for i in self.layout.inputs]
        fallbacks = (at for at, step in enumerate(steps) if isinstance(step, Fallback))
        native = 0
        for name in self.names:
            start = time.perf_counter_ns()
            if isinstance(name, Fallback):
                self._fall_back(name, inputs, outputs)
                seconds[next(fallbacks)] = (time.perf_counter_ns() - start) * 1e-9
                continue
            self._counted[name](self.table, *given, *outputs)
            native += time.perf_counter_ns() - start
            if self._status[0]:
                self._refused(inputs)
        if counters.sum():
            seconds += counters / counters.sum() * native * 1e-9  # the counter's rate is found on the way
        return outputs, [float(s) for s in seconds]

    def _refused(self, inputs: Sequence[Array]) -> NoReturn:
        """A check failed: have the op itself say what is wrong, on the values that it was given."""
        step = self.lowered.steps[int(self._status[0]) - 1]
        self._status[0] = 0
        assert isinstance(step, Kernel), "only kernels check"
        (call,) = step.calls
        arrays = interpret(self.graph, inputs, want=call.inputs)
        call.op.forward(*arrays)
        raise ProgramError(f"{call.op.name}: a check failed that the op itself passes")

    def _fall_back(self, step: Fallback, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        def array(place: Place) -> Array:
            number = self.layout.resolve(place.buffer)
            buffer = self.lowered.buffers[number]
            if buffer.kind == "arena":
                begin = self.layout.offset[number]
                memory = self._arena[begin : begin + max(buffer.nbytes, place.dtype.itemsize)]
            elif buffer.kind == "input":
                memory = inputs[buffer.source].reshape(-1).view(np.uint8)
            elif buffer.kind == "output":
                memory = outputs[buffer.source].reshape(-1).view(np.uint8)
            elif buffer.kind == "state":
                held = self._held[number]
                if place == self.lowered.places[buffer.source]:
                    return held
                return place.array(np.lib.stride_tricks.as_strided(held, (1 << 40,), (held.itemsize,)))
            else:
                memory = self._held[number].reshape(-1).view(np.uint8)
            if place.size == 0:
                return np.empty(place.shape, place.dtype)
            return place.array(
                memory[: memory.nbytes // place.dtype.itemsize * place.dtype.itemsize].view(place.dtype)
            )

        call = step.call
        arrays = [array(place) for place in step.reads]
        for position, value in zip(call.op.mutates, call.writes, strict=True):
            target = array(step.writes[value])
            if target is not arrays[position]:
                target[...] = arrays[position]
            arrays[position] = target
        found = call.op.forward(*arrays)
        made = (found,) if call.op.outputs == 1 else found
        for value, result in zip(call.outputs, made, strict=True):
            if value not in call.writes:
                array(step.writes[value])[...] = result


def work_of(graph: Graph) -> tuple[int, int]:
    """FLOPs of a run, as far as its ops count them, and bytes that its calls read and write."""
    flops = nbytes = 0
    for call in graph.calls:
        flops += flops_of(call, graph.specs) or 0
        nbytes += sum(graph.specs[v].nbytes for v in (*call.inputs, *call.made))
    return flops, nbytes


def _aligned(nbytes: int) -> Array:
    """Bytes that begin at a line of the cache."""
    raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -_address(raw) % ALIGNMENT
    return raw[start : start + nbytes]


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
