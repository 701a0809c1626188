"""Layout: where a program's buffers lie, in one arena or in a table, and what overwrites what."""

from __future__ import annotations

import hashlib

from tinytorch.acceleration.cache import compiler_version
from tinytorch.acceleration.memory import Life, plan_memory, rounded
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.lower import Fallback, Lowered, Step
from tinytorch.acceleration.native.place import Place


class Layout:
    """Where the buffers of a lowered graph lie: offsets in one arena, and slots of a table of addresses."""

    def __init__(self, lowered: Lowered, threads: int = 1) -> None:
        self.lowered, self.threads = lowered, threads
        self.alias = _in_place(lowered)
        lives: dict[int, Life] = {}
        for at, step in enumerate(lowered.steps):
            for place in operands(step):
                buffer = self.alias.get(place.buffer, place.buffer)
                if lowered.buffers[buffer].kind == "arena":
                    first = lives[buffer].first if buffer in lives else at
                    lives[buffer] = Life(lowered.buffers[buffer].nbytes, first, at)
        self.lent = _lent(lowered, lives, self.alias)
        """Buffers that lie in an output until that is written: its buffer, and their offset in bytes."""
        kept = {number: life for number, life in lives.items() if number not in self.lent}
        self.scratch = {
            at: s.scratch for at, s in enumerate(lowered.steps) if isinstance(s, Kernel) and s.scratch
        }
        scratch = [Life(self.room(size) * threads, at, at) for at, size in self.scratch.items()]
        offsets, self.arena_bytes = plan_memory([*kept.values(), *scratch])
        self.offset = dict(zip(kept, offsets, strict=False))
        self.scratch_offset = dict(zip(self.scratch, offsets[len(kept) :], strict=True))
        self.unshared_bytes = sum(life.nbytes for life in (*lives.values(), *scratch))
        used = dict.fromkeys(
            self.alias.get(p.buffer, p.buffer) for step in lowered.steps for p in operands(step)
        )
        self.slots = {
            b: i for i, b in enumerate((b for b in used if lowered.buffers[b].kind in _TABLE), start=1)
        }
        self.inputs = sorted({b.source for b in lowered.buffers if b.kind == "input"})
        self.output_count = len(lowered.graph.outputs)

    @property
    def status_slot(self) -> int:
        """Where the table says which check failed, counted from 1."""
        return 1 + len(self.slots)

    @property
    def counter_slot(self) -> int:
        """Where the table has the address of the counters of time."""
        return 2 + len(self.slots)

    @property
    def barrier_slot(self) -> int:
        """Where threads count themselves as they wait for each other."""
        return 3 + len(self.slots)

    @staticmethod
    def room(nbytes: int) -> int:
        """Bytes of working memory that a thread gets, in whole lines of the cache."""
        return rounded(nbytes)

    def resolve(self, number: int) -> int:
        """The buffer that stands for this one."""
        return self.alias.get(number, number)

    def where(self, place: Place) -> tuple[str, int, int]:
        """A place's kind of memory, its number (offset in the arena, slot, argument), and its offset."""
        number = self.resolve(place.buffer)
        buffer = self.lowered.buffers[number]
        at = place.offset * place.dtype.itemsize
        if number in self.lent:
            lender, offset = self.lent[number]
            number, buffer, at = lender, self.lowered.buffers[lender], at + offset
        if buffer.kind == "arena":
            return "arena", self.offset[number], at
        if buffer.kind == "input":
            return "input", self.inputs.index(buffer.source), at
        if buffer.kind == "output":
            return "output", len(self.inputs) + int(buffer.source), at
        return "table", self.slots[number], at

    def fingerprint(self) -> str:
        """A hash of all that the program's code depends on: kernels, places, and the compiler itself."""
        digest = hashlib.sha256(compiler_version().encode())
        digest.update(f"{self.threads} {len(self.inputs)} {self.output_count} {len(self.slots)}".encode())
        for at, step in enumerate(self.lowered.steps):
            what = step.signature() if isinstance(step, Kernel) else "fallback"
            where = [self.where(place) for place in operands(step)] if isinstance(step, Kernel) else []
            digest.update(repr((what, where, self.scratch_offset.get(at))).encode())
        return digest.hexdigest()


WORTH_LENDING = 4096
"""Bytes of a buffer from which it is put into an output, if it can be."""
MOST_TRIED = 64
"""Buffers that are tried for an output: each is a plan of its own, and those used longest come first."""
_TABLE = ("state", "constant", "packed")


def operands(step: Step) -> tuple[Place, ...]:
    """All places of a step."""
    if isinstance(step, Fallback):
        return (*step.reads, *step.writes.values())
    return (*step.reads, *step.writes)


def _in_place(lowered: Lowered) -> dict[int, int]:
    """Results that may overwrite, one by one, an operand which nothing reads afterwards: by buffer."""
    last: dict[int, int] = {}
    first: dict[int, int] = {}
    for at, step in enumerate(lowered.steps):
        for place in operands(step):
            last[place.buffer] = at
            first.setdefault(place.buffer, at)
    alias: dict[int, int] = {}
    for at, step in enumerate(lowered.steps):
        if isinstance(step, Fallback) or not step.overwrites:
            continue
        for write in step.writes:
            target = lowered.buffers[write.buffer]
            if target.kind != "arena" or first[write.buffer] != at or write.buffer in alias:
                continue
            for read in step.in_place:
                source = alias.get(read.buffer, read.buffer)
                buffer = lowered.buffers[source]
                taken = {alias.get(w.buffer, w.buffer) for w in step.writes if w is not write}
                same = (read.shape, read.strides, read.offset, read.dtype.itemsize) == (
                    write.shape,
                    write.strides,
                    write.offset,
                    write.dtype.itemsize,
                )
                alone = all(other is read or other.buffer != read.buffer for other in step.reads)
                if (
                    same
                    and alone
                    and buffer.kind == "arena"
                    and buffer.nbytes >= target.nbytes
                    and last[source] == at
                    and source not in taken
                ):
                    alias[write.buffer] = source
                    last[source] = last[write.buffer]
                    break
    return alias


def _lent(lowered: Lowered, lives: dict[int, Life], alias: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Buffers of the arena that can lie in outputs which are written later, those used longest first."""
    first: dict[int, int] = {}
    touched: set[int] = set()
    for at, step in enumerate(lowered.steps):
        for place in operands(step):
            first.setdefault(place.buffer, at)
            if isinstance(step, Fallback):
                touched.add(alias.get(place.buffer, place.buffer))
    lent: dict[int, tuple[int, int]] = {}
    for number, buffer in enumerate(lowered.buffers):
        if buffer.kind != "output" or number not in first:
            continue
        guests: list[int] = []
        tried = 0
        for guest in sorted(lives, key=lambda n: lives[n].first - lives[n].last):
            life = lives[guest]
            fits = WORTH_LENDING <= life.nbytes <= buffer.nbytes
            if guest in lent or guest in touched or life.last >= first[number] or not fits:
                continue
            tried += 1
            if tried > MOST_TRIED:
                break
            offsets, nbytes = plan_memory([lives[n] for n in (*guests, guest)])
            if nbytes <= buffer.nbytes:
                guests.append(guest)
                lent.update({n: (number, at) for n, at in zip(guests, offsets, strict=True)})
    return lent
