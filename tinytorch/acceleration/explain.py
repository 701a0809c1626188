"""What compiling a function came to: which ops became which kernels and why, work, traffic and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinytorch.acceleration.fused import Fused, flops_of, parts
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.memory import Life
from tinytorch.acceleration.passes.fuse import is_view
from tinytorch.acceleration.passes.pipeline import PASSES
from tinytorch.ops.spec import Spec
from tinytorch.profiling import words
from tinytorch.profiling.report.layout import columned, wrapped

if TYPE_CHECKING:
    from tinytorch.acceleration.native.source import Planned

MOST = 3
"""Modules that are named of those whose calls became kernels in the same way."""


@dataclass(frozen=True)
class KernelReport:
    """One kernel: `flops` is None where an op has no rule for it; bytes as each element is moved once."""

    name: str
    ops: tuple[str, ...]
    paths: tuple[str, ...]
    backward: bool
    why: str
    """Why it computes several ops at once; "" where it does not."""
    flops: int | None
    bytes: int
    bytes_apart: int
    """What its ops would move if each were computed by itself."""


@dataclass(frozen=True)
class FallbackReport:
    """One call that NumPy computes."""

    op: str
    path: str
    why: str


@dataclass(frozen=True)
class PassReport:
    """What a pass did: numbers of calls, and which ops are there no more or are new, by name."""

    name: str
    calls_before: int
    calls_after: int
    gone: dict[str, int]
    new: dict[str, int]


@dataclass(frozen=True)
class Explanation:
    """A program explained. Memory is that of values between the first and the last kernel, in bytes."""

    name: str = "program"
    calls_before: int = 0
    """Ops as traced, views left out."""
    kernels: tuple[KernelReport, ...] = ()
    fallbacks: tuple[FallbackReport, ...] = ()
    passes: tuple[PassReport, ...] = ()
    prepared: tuple[str, ...] = ()
    """Ops that depend on weights alone: computed once, and again when one changes."""
    memory_before: int = 0
    """All values in between together."""
    memory_at_once: int = 0
    """As much of them as is needed at the same time, if each is let go after its last use."""
    memory_after: int = 0
    """The arena, with what kernels need inside."""
    memory_packed: int = 0
    """Copies of weights in the order in which kernels read them."""
    in_place: int = 0
    """Results that overwrite an operand."""
    lent: int = 0
    """Values that lie in results which are written after their last use."""
    backward: Explanation | None = None
    reasons: tuple[str, ...] = ()
    """Why calls run eagerly, where some do."""

    def __repr__(self) -> str:
        return "\n\n".join(part for part in _report(self) if part)


def explain(
    before: Graph,
    program: Planned | None,
    *,
    name: str = "program",
    backward: Explanation | None = None,
    reasons: Iterable[str] = (),
) -> Explanation:
    """What became of a traced graph; `program` is None where NumPy runs it, call by call.

    >>> from tinytorch.acceleration.native.lower import lower
    >>> from tinytorch.acceleration.native.program import Program
    >>> from tinytorch.acceleration.passes import optimise
    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: (x * 2.0).relu(), [Tensor([1.0, -1.0])]).graph
    >>> explain(graph, Program(lower(optimise(graph)), use_cache=False)).kernels[0].ops
    ('mul', 'relu')
    """
    traced = [call for call in before.calls if not is_view(call)]
    passes, after = _passes(before)
    found: dict[str, Any] = {"memory_after": memory(after)[1]}
    if program is None:
        why = "llvmlite cannot be imported"
        found["fallbacks"] = tuple(
            FallbackReport(c.op.name, c.path, why) for c in after.calls if not is_view(c)
        )
    else:
        found = _of_program(program)
    total, at_once = memory(before)
    return Explanation(
        name,
        len(traced),
        passes=passes,
        prepared=tuple(call.op.name for call in after.prologue if not is_view(call)),
        memory_before=total,
        memory_at_once=at_once,
        backward=backward,
        reasons=tuple(reasons),
        **found,
    )


def _passes(graph: Graph) -> tuple[tuple[PassReport, ...], Graph]:
    """What each pass does, found by running them again, and the graph after all."""
    found = []
    for one in PASSES:
        after = one(graph)
        old, new = _ops(graph), _ops(after)
        name = one.__name__
        found.append(PassReport(name, len(graph.calls), len(after.calls), dict(old - new), dict(new - old)))
        graph = after
    return tuple(found), graph


def _ops(graph: Graph) -> Counter[str]:
    return Counter(one.op.name for call in (*graph.prologue, *graph.calls) for one in parts(call))


# ---------------------------------------------------------------- kernels


def _of_program(program: Planned) -> dict[str, Any]:
    """Kernels, fallbacks and memory of a program."""
    from tinytorch.acceleration.native.kernels.kernel import Kernel
    from tinytorch.acceleration.native.reasons import why_numpy

    lowered, layout = program.layout.lowered, program.layout
    kernels, fallbacks = [], []
    counted: set[int] = set()
    for step in lowered.steps:
        if isinstance(step, Kernel):
            kernels.append(_kernel(lowered.graph, step, counted))
        else:
            why = why_numpy(lowered.graph, step.call)
            fallbacks.append(FallbackReport(step.call.op.name, step.call.path, why))
    packed = sum(b.nbytes for b in lowered.buffers if b.kind == "packed")
    return {
        "kernels": tuple(kernels),
        "fallbacks": tuple(fallbacks),
        "memory_after": layout.arena_bytes,
        "memory_packed": packed,
        "in_place": len(layout.alias),
        "lent": len(layout.lent),
    }


def _kernel(graph: Graph, kernel: Any, counted: set[int]) -> KernelReport:
    """What there is to say of a kernel; the work of a call counts for the first kernel that is no check."""
    from tinytorch.acceleration.native.functions import title
    from tinytorch.acceleration.native.reasons import moved, reason

    ones = [one for call in kernel.calls for one in parts(call)]
    own = [] if kernel.returns else [one for one in ones if id(one) not in counted]
    counted.update(map(id, own))
    specs = dict(graph.specs)
    for call in kernel.calls:
        specs.update(call.op.specs if isinstance(call.op, Fused) else {})
    flops = [flops_of(one, specs) for one in own]
    return KernelReport(
        " ".join(title(kernel)),
        tuple(one.op.name for one in ones),
        tuple(dict.fromkeys(one.path for one in ones if one.path)),
        any(one.backward for one in ones),
        reason(kernel),
        None if None in flops else sum(count for count in flops if count is not None),
        moved(kernel),
        sum(_bytes_of(one, specs) for one in own),
    )


def _bytes_of(call: Call, specs: Mapping[int, Spec]) -> int:
    """What a call moves by its op's own rule."""
    outs = tuple(specs[v] for v in call.outputs)
    return call.op.bytes(outs if call.op.outputs > 1 else outs[0], *(specs[v] for v in call.inputs))


# ---------------------------------------------------------------- memory


def memory(graph: Graph) -> tuple[int, int]:
    """Bytes of all values between inputs and results, and the most at once if each goes after its last use.

    What views look at counts once; what is changed in place and what becomes a result do not count.
    """
    owner: dict[int, int] = {}
    lives: dict[int, Life] = {}
    for at, call in enumerate(graph.calls):
        for value in call.inputs:
            root = owner.get(value, value)
            if root in lives:
                lives[root] = lives[root]._replace(last=at)
        if is_view(call):
            owner[call.outputs[0]] = owner.get(call.inputs[0], call.inputs[0])
            continue
        for value in call.outputs:
            if value not in call.writes:
                lives[value] = Life(graph.specs[value].nbytes, at, at)
    for value in graph.results():
        lives.pop(owner.get(value, value), None)
    moments = [
        sum(x.nbytes for x in lives.values() if x.first <= at <= x.last) for at in range(len(graph.calls))
    ]
    return sum(life.nbytes for life in lives.values()), max(moments, default=0)


# ---------------------------------------------------------------- the report


def _report(found: Explanation) -> Iterator[str]:
    yield wrapped(_verdict(found))
    yield _kernels(found.kernels)
    yield _listed("Why calls became one kernel", _whys(found.kernels))
    yield _listed("Left to NumPy", [f"{f.op}{_at(f.path)}: {f.why}" for f in found.fallbacks])
    yield _listed("What passes did", [text for one in found.passes if (text := _pass(one))])
    yield _memory(found)
    yield _listed("Calls that run eagerly", found.reasons)
    if found.backward is not None:
        yield repr(found.backward)


def _verdict(found: Explanation) -> str:
    if not found.kernels and not found.fallbacks:
        return f"{found.name}: no program{'' if found.calls_before else ' has been made'}."
    text = f"{found.name}: {_count(found.calls_before, 'op')} became {_count(len(found.kernels), 'kernel')}"
    moved, apart = sum(k.bytes for k in found.kernels), sum(k.bytes_apart for k in found.kernels)
    if apart > moved:
        text += f", which move {words.size(moved)} where the ops would move {words.size(apart)}"
    if found.fallbacks:
        text += (
            f"; {_count(len(found.fallbacks), 'call')} {'is' if len(found.fallbacks) == 1 else 'are'} NumPy's"
        )
    return f"{text}."


def _kernels(kernels: Sequence[KernelReport]) -> str:
    """A table with a line for all kernels that compute the same ops."""
    groups: dict[str, list[KernelReport]] = {}
    for kernel in kernels:
        groups.setdefault(kernel.name, []).append(kernel)
    if not groups:
        return ""
    rows = [_row(group) for group in groups.values()]
    names = [(name,) for name in groups]
    if len(rows) > 1:
        rows.append(_row(kernels))
        names.append(("all",))
    return "\n".join(columned("kernel", names, ["times", "work", "moves", "ops apart"], rows))


def _row(kernels: Sequence[KernelReport]) -> list[str]:
    flops = [k.flops for k in kernels]
    work = None if None in flops else sum(f for f in flops if f is not None)
    sizes = [sum(k.bytes for k in kernels), sum(k.bytes_apart for k in kernels)]
    return [str(len(kernels)), words.work(work), *map(words.size, sizes)]


def _whys(kernels: Sequence[KernelReport]) -> list[str]:
    """Reasons, each with the modules that it holds for."""
    groups: dict[str, list[str]] = {}
    for kernel in kernels:
        if kernel.why:
            where = ", ".join(kernel.paths)
            back = "backward of " if kernel.backward and where else "backward" if kernel.backward else ""
            groups.setdefault(kernel.why, []).append(f"{back}{where}" or "the function itself")
    found = []
    for why, places in groups.items():
        named = list(dict.fromkeys(places))
        more = f" and {len(named) - MOST} more" if len(named) > MOST else ""
        found.append(f"{'; '.join(named[:MOST])}{more}: {why}")
    return found


def _pass(one: PassReport) -> str:
    if not one.gone and not one.new and one.calls_before == one.calls_after:
        return ""
    text = f"{one.name}: {one.calls_before} to {_count(one.calls_after, 'call')}"
    gone, new = (", ".join(f"{n} {op}" for op, n in ops.items()) for ops in (one.gone, one.new))
    if gone and new:
        return f"{text}; {gone} became {new}"
    return f"{text}; {gone} left out" if gone else f"{text}; {new} added" if new else text


def _memory(found: Explanation) -> str:
    """What values in between take, before and after."""
    if not found.kernels and not found.fallbacks:
        return ""
    items = [
        f"before: {words.size(found.memory_before)} for all values between inputs and results, of which "
        f"{words.size(found.memory_at_once)} are needed at once",
        f"after: {words.size(found.memory_after)}, which they share with what kernels need inside",
    ]
    if found.in_place:
        verb = "overwrites an operand" if found.in_place == 1 else "overwrite an operand"
        items.append(f"{_count(found.in_place, 'result')} {verb}")
    if found.lent:
        verb = "lies in a result" if found.lent == 1 else "lie in results"
        items.append(f"{_count(found.lent, 'value')} {verb} until that is written")
    if found.memory_packed:
        size = words.size(found.memory_packed)
        items.append(
            f"besides {size} of weights in the order in which kernels read them, made again as they change"
        )
    if found.prepared:
        ops = ", ".join(f"{n} {op}" for op, n in Counter(found.prepared).items())
        items.append(f"computed ahead of a run, from weights alone: {ops}")
    return _listed("Memory", items)


def _listed(title: str, items: Sequence[str]) -> str:
    return "\n".join([title, *(wrapped(item, "  ", "- ") for item in items)]) if items else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _at(path: str) -> str:
    return f" of {path}" if path else ""
