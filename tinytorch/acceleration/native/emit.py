"""The emitter: what kernels are written with beside operators, into one function of LLVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from tinytorch.acceleration.native.values import (
    DOUBLE,
    ELEMENTS,
    FLOAT,
    HALF,
    I1,
    I32,
    I64,
    Number,
    Value,
    constant_of,
    suffix,
)
from tinytorch.ops.spec import DType


class Loop:
    """A loop while it is written: `index`, and values carried from round to round."""

    def __init__(self, index: Value, carried: list[Value]) -> None:
        self.index, self.carried = index, carried
        self.next = carried
        self.results = carried

    def carry(self, values: Sequence[Value]) -> None:
        """What the next round starts with, and what is left after the last."""
        self.next = list(values)


class Emitter:
    """Emits into one function."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.module = builder.module
        self.thread: Value | None = None
        """Which of the threads this one is, where several run the same kernel."""
        self.threads: Value | None = None

    def declare(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """A function by name, such as an intrinsic of LLVM."""
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    def intrinsic(self, name: str, *values: Value) -> Value:
        """LLVM's intrinsic for the type of the values: `sqrt`, `fma`, `fabs`, ..."""
        kind = values[0].type
        function = self.declare(f"llvm.{name}.{suffix(kind)}", kind, [v.type for v in values])
        return Value(self, self.builder.call(function, [v.ir for v in values]))

    # ------------------------------------------------------------ constants and conversions

    def index(self, number: Number) -> Value:
        """An index or count as 64-bit integer."""
        return number if isinstance(number, Value) else Value(self, I64(int(number)))

    def constant(self, number: float, dtype: DType, lanes: int = 1) -> Value:
        """The number in every lane."""
        element = I1 if dtype.name == "bool" else ELEMENTS[dtype.name]
        return Value(self, constant_of(element, number, lanes))

    def zeros(self, dtype: DType, lanes: int = 1) -> Value:
        return self.constant(0, dtype, lanes)

    def spread(self, value: Value, lanes: int) -> Value:
        """A single number in all lanes of a vector."""
        if lanes == value.lanes:
            return value
        kind = ir.VectorType(value.type, lanes)
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, value.ir, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, lanes), None)
        return Value(self, self.builder.shuffle_vector(one, nothing, zeros))

    def cast_like(self, number: Number, like: Value) -> Value:
        """A Python number as constant of the type of `like`, or a value with as many lanes."""
        if isinstance(number, Value):
            return self.spread(number, like.lanes)
        return Value(self, constant_of(like.element, number, like.lanes))

    def convert(self, value: Value, dtype: DType) -> Value:
        """The numbers in another dtype, as NumPy's astype would."""
        builder, lanes = self.builder, value.lanes
        if dtype.name == "bool":
            return value if value.element == I1 else value.differs(0)
        target = ELEMENTS[dtype.name]
        kind = target if lanes == 1 else ir.VectorType(target, lanes)
        if value.element == target:
            return value
        if not value.is_float:
            if isinstance(target, ir.IntType):
                if value.element.width > target.width:
                    return Value(self, builder.trunc(value.ir, kind))
                grow = builder.zext if value.element == I1 else builder.sext
                return Value(self, grow(value.ir, kind))
            make = builder.uitofp if value.element == I1 else builder.sitofp
            return Value(self, make(value.ir, kind))
        if isinstance(target, ir.IntType):
            return Value(self, builder.fptosi(value.ir, kind))
        bits = {HALF: 16, FLOAT: 32, DOUBLE: 64}
        make = builder.fpext if bits[value.element] < bits[target] else builder.fptrunc
        return Value(self, make(value.ir, kind))

    def bits(self, value: Value, element: Any) -> Value:
        """The same bits read as another type of the same width."""
        kind = element if value.lanes == 1 else ir.VectorType(element, value.lanes)
        return Value(self, self.builder.bitcast(value.ir, kind))

    def first_lanes(self, count: int, lanes: int) -> Value:
        """A mask that is true in the first `count` lanes."""
        kind = ir.VectorType(I1, lanes)
        return Value(self, ir.Constant(kind, [i < count for i in range(lanes)]))

    # ------------------------------------------------------------ arithmetic beyond operators

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, in one instruction where the machine has it."""
        return self.intrinsic("fmuladd", a, b, c)

    def select(self, condition: Value, a: Number, b: Number) -> Value:
        """a where the condition holds, else b."""
        like = a if isinstance(a, Value) and (not isinstance(b, Value) or a.lanes >= b.lanes) else b
        assert isinstance(like, Value), "one of the two must be a value"
        if condition.lanes > like.lanes:
            like = self.spread(like, condition.lanes)
        chosen = self.builder.select(self.spread(condition, like.lanes).ir, like.like(a).ir, like.like(b).ir)
        return Value(self, chosen)

    def larger(self, a: Value, b: Number) -> Value:
        """The larger number of each lane, NaN where a is NaN: one instruction on x86."""
        b = a.like(b)
        return (
            Value(self, self.builder.select(self.builder.fcmp_ordered("<", a.ir, b.ir), b.ir, a.ir))
            if (a.is_float)
            else self.select(a > b, a, b)
        )

    def sum_lanes(self, value: Value) -> Value:
        """The sum of a vector's lanes, in any order."""
        if value.lanes == 1:
            return value
        kind = value.element
        if not value.is_float:
            function = self.declare(f"llvm.vector.reduce.add.{suffix(value.type)}", kind, [value.type])
            return Value(self, self.builder.call(function, [value.ir]))
        function = self.declare(f"llvm.vector.reduce.fadd.{suffix(value.type)}", kind, [kind, value.type])
        start = ir.Constant(kind, -0.0)
        return Value(self, self.builder.call(function, [start, value.ir], fastmath=("reassoc",)))

    def largest_lane(self, value: Value) -> Value:
        """The largest of a vector's lanes; NaN may get lost."""
        if value.lanes == 1:
            return value
        if not value.is_float:
            function = self.declare(
                f"llvm.vector.reduce.smax.{suffix(value.type)}", value.element, [value.type]
            )
            return Value(self, self.builder.call(function, [value.ir]))
        function = self.declare(f"llvm.vector.reduce.fmax.{suffix(value.type)}", value.element, [value.type])
        return Value(self, self.builder.call(function, [value.ir], fastmath=("nnan",)))

    def turned(self, rows: Sequence[Value]) -> list[Value]:
        """The columns of a square of vectors: as many as each has lanes, a power of two."""
        lanes, found = rows[0].lanes, list(rows)
        distance = 1
        while distance < lanes:  # swap blocks off the diagonal, from single elements up
            kind = ir.VectorType(I32, lanes)
            low = [i if not i & distance else lanes + i - distance for i in range(lanes)]
            high = [i + distance if not i & distance else lanes + i for i in range(lanes)]
            following = list(found)
            for i in range(lanes):
                if not i & distance:
                    a, b = found[i].ir, found[i + distance].ir
                    for place, mask in ((i, low), (i + distance, high)):
                        shuffled = self.builder.shuffle_vector(a, b, ir.Constant(kind, mask))
                        following[place] = Value(self, shuffled)
            found = following
            distance *= 2
        return found

    # ------------------------------------------------------------ loops

    @contextmanager
    def loop(
        self, count: int | Value, carry: Sequence[Value] = (), step: int = 1, start: Value | None = None
    ) -> Iterator[Loop]:
        """Rounds for index `start` or 0, then step by step below `count`, at least one of them."""
        builder = self.builder
        if isinstance(count, int) and count <= step and start is None:
            loop = Loop(self.index(0), list(carry))
            yield loop
            loop.results = loop.next
            return
        before = builder.block
        body, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        counter = builder.phi(I64)
        counter.add_incoming(I64(0) if start is None else start.ir, before)
        phis = [builder.phi(value.type) for value in carry]
        for phi, value in zip(phis, carry, strict=True):
            phi.add_incoming(value.ir, before)
        loop = Loop(Value(self, counter), [Value(self, phi) for phi in phis])
        yield loop
        following = builder.add(counter, I64(step))
        counter.add_incoming(following, builder.block)
        for phi, value in zip(phis, loop.next, strict=True):
            phi.add_incoming(value.ir, builder.block)
        more = builder.icmp_signed("<", following, self.index(count).ir)
        builder.cbranch(more, body, done)
        builder.position_at_end(done)
        loop.results = loop.next

    @contextmanager
    def shared_loop(self, count: int, step: int = 1) -> Iterator[Loop]:
        """The rounds of `loop` that are this thread's: a run of them, as long as the others' or shorter."""
        if self.thread is None or self.threads is None:
            with self.loop(count, step=step) as loop:
                yield loop
            return
        rounds = -(-count // step)
        each = (self.threads + (rounds - 1)) / self.threads
        first, end = self.thread * each, (self.thread + 1) * each
        end = self.select(end < rounds, end, rounds)
        with self.when(first < end), self.loop(end * step, step=step, start=first * step) as loop:
            yield loop

    @contextmanager
    def last_thread(self) -> Iterator[None]:
        """What only one thread does: the last, which has the shortest run of rounds."""
        if self.thread is None or self.threads is None:
            yield
        else:
            with self.when((self.thread + 1).equals(self.threads)):
                yield

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Instructions that run only where a single condition holds."""
        with self.builder.if_then(condition.ir):
            yield
