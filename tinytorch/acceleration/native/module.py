"""The LLVM module of a program: a function for each distinct kernel, and one that calls them in order."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.engine import declared, entry
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.layout import Layout, operands
from tinytorch.acceleration.native.lower import Fallback, Lowered
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I8, I64, POINTER, Pointer, Value

SPINS = 256
"""Looks at a barrier before the processor is offered to others."""


def segment_names(lowered: Lowered) -> list[str | Fallback]:
    """What runs in order: functions, by name, each for a run of kernels, and fallbacks between them."""
    names: list[str | Fallback] = []
    for step in lowered.steps:
        if isinstance(step, Fallback):
            names.append(step)
        elif not names or isinstance(names[-1], Fallback):
            names.append(f"run{len(names)}")
    return names


def emit_module(layout: Layout, counted: bool = False) -> Any:
    """The module of a program, with a function of (table, inputs, outputs) for each run of kernels.

    Where the layout is for several threads, each of them calls the function, with an array behind the outputs
    that holds its number: kernels share their rounds, and between two of them all threads wait.
    In the `counted` build, which is for one thread, the time of each kernel, in ticks of the CPU, is added up
    in an array whose address is in the table.
    """
    module = ir.Module("program")
    functions = Functions(module, layout.threads > 1 and not counted)
    segment: Segment | None = None
    names = (name for name in segment_names(layout.lowered) if isinstance(name, str))
    for at, step in enumerate(layout.lowered.steps):
        if isinstance(step, Kernel):
            segment = segment or Segment(layout, functions, next(names), counted)
            segment.call(at, step)
        elif segment is not None:
            segment.end()
            segment = None
    if segment is not None:
        segment.end()
    return module


class Functions:
    """The functions of kernels in a module, each made once for all kernels of equal signature."""

    def __init__(self, module: Any, threaded: bool) -> None:
        self.module, self.threaded = module, threaded
        self._known: dict[Any, Any] = {}

    def of(self, kernel: Kernel) -> Any:
        """A kernel's function: of its operands, then of working memory and the thread, where it has those."""
        key = kernel.signature()
        if key not in self._known:
            self._known[key] = self._made(kernel, f"kernel{len(self._known)}")
        return self._known[key]

    def _made(self, kernel: Kernel, name: str) -> Any:
        places = (*kernel.reads, *kernel.writes)
        shares = self.threaded and kernel.shares
        extra = [POINTER] * bool(kernel.scratch) + [I64, I64] * shares
        kind = ir.FunctionType(I64 if kernel.returns else ir.VoidType(), [POINTER] * len(places) + extra)
        function = ir.Function(self.module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        e = Emitter(ir.IRBuilder(function.append_basic_block("entry")))
        pointers = [Pointer(e, arg, p.dtype) for arg, p in zip(function.args, places, strict=False)]
        if shares:
            e.thread, e.threads = (Value(e, arg) for arg in function.args[-2:])
        scratch = function.args[len(places)] if kernel.scratch else None
        count = len(kernel.reads)
        kernel.emit(e, pointers[:count], pointers[count:], scratch)
        if not kernel.returns:
            e.builder.ret_void()
        return function


class Segment:
    """The function for a run of kernels while it is written."""

    def __init__(self, layout: Layout, functions: Functions, name: str, counted: bool) -> None:
        self.layout, self.functions, self.counted = layout, functions, counted
        self.module, self.threaded = functions.module, functions.threaded
        arrays = 1 + len(layout.inputs) + layout.output_count + self.threaded
        self.builder, addresses, self._end = entry(self.module, name, arrays, release=self.threaded)
        self.table, *given = addresses
        self.thread = self.builder.load(given.pop(), typ=I64) if self.threaded else None
        self.arena = self._address(0)
        count = len(layout.inputs)
        self.base = {("table", number): self._address(number) for number in layout.slots.values()}
        self.base.update({("input" if i < count else "output", i): array for i, array in enumerate(given)})
        self._alone = False
        """Whether only the first thread has worked since all waited for each other."""

    def _slot(self, number: int) -> Any:
        return self.builder.gep(self.table, [I64(number)], source_etype=I64)

    def _address(self, number: int) -> Any:
        """The address in a slot of the table."""
        return self.builder.inttoptr(self.builder.load(self._slot(number), typ=I64), POINTER)

    def _pointer(self, place: Place) -> Any:
        kind, number, offset = self.layout.where(place)
        start = self.arena if kind == "arena" else self.base[kind, number]
        offset += number if kind == "arena" else 0
        return self.builder.gep(start, [I64(offset)], source_etype=I8) if offset else start

    def call(self, at: int, kernel: Kernel) -> None:
        """Call a kernel; a check that fails ends the program."""
        if not self.threaded:
            self._checked(at, kernel, self._called(at, kernel))
        elif kernel.returns:  # each thread checks for itself, so that all of them leave
            self._wait()
            self._checked(at, kernel, self._called(at, kernel))
        elif kernel.shares:
            self._wait()
            self._called(at, kernel)
            self._alone = True
        else:
            if not self._only_first:
                self._wait()
            with self.builder.if_then(self.builder.icmp_signed("==", self.thread, I64(0))):
                self._called(at, kernel)
            self._only_first = self._alone = True

    _only_first = False

    def _called(self, at: int, kernel: Kernel) -> Any:
        builder = self.builder
        arguments = [self._pointer(place) for place in operands(kernel)]
        if kernel.scratch:
            room: Any = I64(self.layout.scratch_offset[at])
            if self.threaded and kernel.shares:
                size = self.layout.room(kernel.scratch)
                room = builder.add(room, builder.mul(self.thread, I64(size)))
            arguments.append(builder.gep(self.arena, [room], source_etype=I8))
        if self.threaded and kernel.shares:
            arguments += [self.thread, I64(self.layout.threads)]
        function = self.functions.of(kernel)
        if not self.counted:
            return builder.call(function, arguments)
        before = self._ticks()
        found = builder.call(function, arguments)
        counter = builder.gep(self._address(self.layout.counter_slot), [I64(at)], source_etype=I64)
        spent = builder.sub(self._ticks(), before)
        builder.store(builder.add(builder.load(counter, typ=I64), spent), counter)
        return found

    def _ticks(self) -> Any:
        return self.builder.call(declared(self.module, "llvm.readcyclecounter", I64), [])

    def _checked(self, at: int, kernel: Kernel, found: Any) -> None:
        if kernel.returns:
            with self.builder.if_then(self.builder.icmp_signed("!=", found, I64(0)), likely=False):
                self.builder.store(I64(1 + at), self._slot(self.layout.status_slot))
                if self.threaded:  # nobody may still read the inputs, or write the status, when one returns
                    self._barrier()
                self._end()

    def _wait(self) -> None:
        """Wait until all threads are here, if any has worked since they last were."""
        if self._alone:
            self._alone = self._only_first = False
            self._barrier()

    def _barrier(self) -> None:
        """Wait until all threads are here."""
        builder, threads = self.builder, I64(self.layout.threads)
        counter = self._slot(self.layout.barrier_slot)
        before = builder.atomic_rmw("add", counter, I64(1), "seq_cst")
        # the count goes on from run to run, so that a thread that is late still finds it large enough
        target = builder.mul(builder.add(builder.sdiv(before, threads), I64(1)), threads)
        start = builder.block
        look, again, done = (builder.append_basic_block(n) for n in ("look", "again", "done"))
        builder.branch(look)
        builder.position_at_end(look)
        looks = builder.phi(I64)
        looks.add_incoming(I64(0), start)
        now = builder.load_atomic(counter, "acquire", 8, typ=I64)
        builder.cbranch(builder.icmp_signed(">=", now, target), done, again)
        builder.position_at_end(again)
        with builder.if_then(builder.icmp_signed(">", looks, I64(SPINS)), likely=False):
            builder.call(declared(self.module, "tinytorch_yield", ir.IntType(32)), [])
        looks.add_incoming(builder.add(looks, I64(1)), builder.block)
        builder.branch(look)
        builder.position_at_end(done)

    def end(self) -> None:
        """End the function, with all threads done."""
        if self.threaded:
            self._wait()
        self._end()
