"""What optimizers do to parameters, and random numbers: kernels that change states in place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout
from tinytorch.acceleration.native.kernels.lookup import along
from tinytorch.acceleration.native.mathematics import integer_power
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.random import Uniform
from tinytorch.ops.spec import float64, int64
from tinytorch.ops.update import AdamUpdate


class AdamStep(Kernel):
    """One parameter's step. Reads lr, p, g, m, v, step; writes p, m, v, step."""

    def __init__(
        self, op: AdamUpdate, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op, self.reads, self.writes, self.calls = op, tuple(reads), tuple(writes), tuple(calls)

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads

    def signature(self) -> tuple[Any, ...]:
        op = self.op
        settings = op.betas, op.eps, op.weight_decay, op.decoupled
        return "adam", *settings, *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        op, dtype = self.op, self.reads[1].dtype
        lr, p, g, m, v, step = reads
        b1, b2 = op.betas
        number = e.convert(step.load(), int64) + 1
        writes[3].store(e.convert(number, self.writes[3].dtype))
        one = e.constant(1, float64)
        rate = e.convert(lr.load(), float64)
        root = e.intrinsic("sqrt", one - integer_power(e, one.like(b2), number))
        scale = e.convert(rate * root / (one - integer_power(e, one.like(b1), number)), dtype)
        eps, decay = e.convert(root * op.eps, dtype), e.convert(one - rate * op.weight_decay, dtype)

        def piece(at: Value, lanes: int, count: int) -> None:
            old, grad, first, second = ((x + at).load(lanes, count) for x in (p, g, m, v))
            if op.weight_decay and op.decoupled:
                old = old * decay
            elif op.weight_decay:
                grad = grad + old * op.weight_decay
            first = first * b1 + grad * (1 - b1)
            second = second * b2 + grad * grad * (1 - b2)
            new = old - first / (e.intrinsic("sqrt", second) + eps) * scale
            for target, value in zip(writes, (new, first, second), strict=False):
                (target + at).store(value, count)

        along(e, self.reads[1].size, lanes_of(p.dtype), piece, shared=True)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        op, (lr, p, g, m, v, step) = self.op, reads
        b1, b2 = op.betas
        yield f"step = int({step}[()]) + 1"
        yield f"{writes[3]}[()] = step"
        yield f"root = sqrt(1 - {b2}**step)"
        yield f"rate = {lr}[()] * root / (1 - {b1}**step)"
        yield f"for at in np.ndindex({p}.shape):"
        if op.weight_decay and not op.decoupled:
            yield f"    grad, old = {g}[at] + {op.weight_decay} * {p}[at], {p}[at]"
        elif op.weight_decay:
            yield f"    grad, old = {g}[at], {p}[at] * (1 - {lr}[()] * {op.weight_decay})"
        else:
            yield f"    grad, old = {g}[at], {p}[at]"
        yield f"    {writes[1]}[at] = {b1} * {m}[at] + {1 - b1} * grad"
        yield f"    {writes[2]}[at] = {b2} * {v}[at] + {1 - b2} * grad * grad"
        quotient = f"{writes[1]}[at] / (sqrt({writes[2]}[at]) + {op.eps} * root)"
        yield f"    {writes[0]}[at] = old - rate * {quotient}"


class UniformDraws(Kernel):
    """Philox-4x64-10 as NumPy runs it: reads the state, writes the numbers and the state moved on."""

    def __init__(
        self, op: Uniform, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op, self.reads, self.writes, self.calls = op, tuple(reads), tuple(writes), tuple(calls)

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads

    def signature(self) -> tuple[Any, ...]:
        return "uniform", self.op.dtype.name, *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        out, state = writes
        draws = 8 if self.op.dtype.name == "float32" else 4
        n = math.prod(self.op.shape)
        key, counter = reads[0].load(), (reads[0] + 1).load()

        def block(number: Value, count: int) -> None:
            words = _philox(e, counter + number + 1, key)
            place = out + number * draws
            for i, word in enumerate(words):
                if draws == 4:
                    values = [_unit(e, word >> 11, 2.0**-53)]
                else:
                    low = Value(e, e.builder.trunc(word.ir, ir.IntType(32)))
                    high = Value(e, e.builder.trunc((word >> 32).ir, ir.IntType(32)))
                    values = [_unit(e, low >> 8, 2.0**-24), _unit(e, high >> 8, 2.0**-24)]
                for j, value in enumerate(values):
                    at = i * len(values) + j
                    if at < count:
                        (place + at).store(e.convert(value, self.op.dtype))

        if n // draws:
            with e.loop(n // draws) as loop:
                block(loop.index, draws)
        if n % draws:
            block(e.index(n // draws), n % draws)
        state.store(key)
        (state + 1).store(counter + -(-n // draws))

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        draws = 8 if self.op.dtype.name == "float32" else 4
        yield f"key, counter = (int(word) % 2**64 for word in {reads[0]})"
        yield f"for at in range({math.prod(self.op.shape)}):"
        yield f"    block, number = divmod(at, {draws})"
        yield "    if number == 0:"
        yield "        words = philox(key, counter + block + 1)"
        if draws == 8:  # each word is two numbers
            yield "    half = words[number // 2] >> 32 * (number % 2) & 0xFFFFFFFF"
            yield f"    {writes[0]}.flat[at] = (half >> 8) * 2.0**-24"
        else:
            yield f"    {writes[0]}.flat[at] = (words[number] >> 11) * 2.0**-53"
        yield f"{writes[1]}[0] = {reads[0]}[0]"
        yield f"{writes[1]}[1] = {reads[0]}[1] + {-(-math.prod(self.op.shape) // draws)}"


def _philox(e: Emitter, counter: Value, key: Value) -> list[Value]:
    """Ten rounds on (counter, 0, 0, 0) with the key (key, 0): four 64-bit words."""
    wide = ir.IntType(128)
    builder = e.builder

    def product(word: Value, multiplier: int) -> tuple[Value, Value]:
        whole = builder.mul(builder.zext(word.ir, wide), ir.Constant(wide, multiplier))
        high = builder.trunc(builder.lshr(whole, ir.Constant(wide, 64)), ir.IntType(64))
        return Value(e, high), Value(e, builder.trunc(whole, ir.IntType(64)))

    zero = e.index(0)
    words, keys = [counter, zero, zero, zero], [key, zero]
    for round_ in range(10):
        if round_:
            keys = [keys[0] + 0x9E3779B97F4A7C15, keys[1] + 0xBB67AE8584CAA73B]
        high0, low0 = product(words[0], 0xD2E7470EE14C6C93)
        high1, low1 = product(words[2], 0xCA5A826395121157)
        words = [high1 ^ words[1] ^ keys[0], low1, high0 ^ words[3] ^ keys[1], low0]
    return words


def _unit(e: Emitter, bits: Value, scale: float) -> Value:
    """Integer bits as a number in [0, 1); they are few enough for a signed conversion."""
    return e.convert(bits, float64) * scale
