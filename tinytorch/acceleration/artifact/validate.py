"""Checking a program before anything of it is used: order, shapes, ops and their fields, memory and work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.acceleration.artifact.checks import check_op, require, scratch_bytes
from tinytorch.acceleration.artifact.document import Document, Step, is_name, is_path, key_of, one_line
from tinytorch.acceleration.artifact.fields import MOST_AXES, decode_op
from tinytorch.acceleration.artifact.registry import OPS, op_named, version_of
from tinytorch.acceleration.graph import Call
from tinytorch.errors import ProgramError, ShapeError
from tinytorch.nn.embedding import Lookup
from tinytorch.ops.arithmetic import Cast
from tinytorch.ops.base import Op
from tinytorch.ops.index import Assign, Gather, GatherGrad, Take, TakeGrad
from tinytorch.ops.integer import GroupMatMul
from tinytorch.ops.pool import MaxPool2dGrad, MaxPool2dPick
from tinytorch.ops.quantize import FakeQuantize, Quantize
from tinytorch.ops.quantized import Conv2dInt8, LinearInt4, LinearInt8, LookupInt4, LookupInt8
from tinytorch.ops.random import Uniform
from tinytorch.ops.shape import Expand, Reshape
from tinytorch.ops.softmax import CrossEntropy
from tinytorch.ops.sparse import Sparse, check_starts
from tinytorch.ops.spec import DTYPES, Array, Spec
from tinytorch.ops.update import AdamUpdate, ScaleAll, SGDUpdate

MOST_NOTES, MOST_NOTE = 64, 1000
_DTYPES = {dtype.name: dtype for dtype in DTYPES}
_GIVE_BACK = (Assign, SGDUpdate, AdamUpdate, ScaleAll)
"""Ops whose output is their first changed input itself."""


@dataclass(frozen=True)
class Limits:
    """How large a program may be that is loaded; the defaults hold any model of this package.

    `memory`: bytes of all values of a run together, as if none were freed, and of the largest scratch.
    `flops`: work of one run. `header`: bytes of the file before its tensors.
    """

    memory: int = 2 * 2**30
    flops: int = 10**12
    header: int = 4 * 2**20


@dataclass(frozen=True)
class Checked:
    """A document in which everything holds: the specs of its values, its calls, and its tensors by key."""

    specs: tuple[Spec, ...]
    calls: list[Call]
    tensors: dict[str, Spec]


def check_document(document: Document, limits: Limits | None = None) -> Checked:
    """Everything that must hold before tensors are read; without limits, programs of any size.

    Raises ProgramError.
    """
    _check_texts(document)
    needed = version_of(step.op for step in document.calls)
    require(document.version == needed, f"format {document.version}; with its ops it is {needed}")
    specs = _specs(document, limits)
    given = len(document.inputs) + len(document.states) + len(document.constants)
    placed = (*document.inputs, *(v for v, _ in document.states), *(v for v, _ in document.constants))
    require(
        placed == tuple(range(given)) and given <= len(specs),
        "inputs, states and constants are not the first values, in this order",
    )
    tensors = _tensors(document, specs)
    calls = _calls(document, specs, given, limits)
    _check_ends(document, specs)
    drawn = any(isinstance(call.op, Uniform) for call in calls)
    require(
        document.stateless == (not document.updates and not drawn),
        f"it says that it is {'stateless' if document.stateless else 'stateful'}, which it is not",
    )
    return Checked(specs, calls, tensors)


# ---------------------------------------------------------------- words and values


def _is_line(text: str, most: int) -> bool:
    return len(text) <= most and text.isprintable()


def _check_texts(document: Document) -> None:
    require(_is_line(document.name, MOST_NOTE), "its name is not one line of text")
    require(len(document.notes) <= MOST_NOTES, f"{len(document.notes)} notes; at most {MOST_NOTES}")
    for key, note in document.notes.items():
        require(is_name(key) and _is_line(note, MOST_NOTE), f"note {key[:80]!r} is not one line of text")
    require(list(document.notes) == sorted(document.notes), "its notes are not in order")
    names = [value.name for value in document.values if value.name]
    for name in names:
        require(is_name(name), f"{name[:80]!r} does not name a value: words and numbers with dots between do")
    require(len(set(names)) == len(names), "two values have one name")


def _specs(document: Document, limits: Limits | None) -> tuple[Spec, ...]:
    """The specs of all values, whose memory together is within the limit.

    A size of 0 counts as 1: an array without elements can have an axis too long to loop over.
    """
    total, specs = 0, []
    for number, value in enumerate(document.values):
        if len(value.shape) > MOST_AXES:
            raise ProgramError(f"value {number} has {len(value.shape)} axes; at most {MOST_AXES}")
        spec = Spec(value.shape, _DTYPES[value.dtype])
        total += math.prod(max(size, 1) for size in spec.shape) * spec.dtype.itemsize
        if limits is not None and total > limits.memory:
            raise _too_large(total, limits, f"with value {number} ({spec})")
        specs.append(spec)
    return tuple(specs)


def _too_large(total: int, limits: Limits, where: str) -> ProgramError:
    return ProgramError(
        f"a run takes {total:,} bytes {where}; the limit is {limits.memory:,}. "
        "Raise Limits.memory if you trust the file."
    )


def _tensors(document: Document, specs: Sequence[Spec]) -> dict[str, Spec]:
    """The tensors of the file, each under one key, and all of them read by someone."""
    read = {v for step in document.calls for v in step.inputs} | set(document.outputs)
    read |= {v for pair in document.updates for v in pair}
    tensors: dict[str, Spec] = {}
    kinds = [(document.states, "state"), (document.constants, "constant")]
    kind_of: dict[str, str] = {}
    for held, kind in kinds:
        for value, key in held:
            expected = key_of(document.values[value].name, value)
            require(key in tensors or key == expected, f"tensor {key[:80]!r} is that of {expected}")
            require(value in read, f"nothing reads the {kind} {key}")
            known = tensors.setdefault(key, specs[value]), kind_of.setdefault(key, kind)
            require(known == (specs[value], kind), f"tensor {key} is two things at once")
    return tensors


# ---------------------------------------------------------------- calls


def _calls(document: Document, specs: Sequence[Spec], given: int, limits: Limits | None) -> list[Call]:
    """The calls: each reads what is there, and makes the next values, of the shapes that are declared."""
    calls, made, work, memory = [], given, 0, sum(spec.nbytes for spec in specs)
    for at, step in enumerate(document.calls):
        try:
            op = decode_op(op_named(step.op), bytes(step.fields))
            require(is_path(step.path), f"{step.path[:80]!r} is not a module path")
            require(max(step.inputs, default=-1) < made, "it reads a value before it is made")
            inputs = [specs[v] for v in step.inputs]
            outputs = outputs_of(op, inputs)
            made = _check_made(op, step, outputs, specs, made)
            work += op.flops(outputs if op.outputs > 1 else outputs[0], *inputs) or 0
            if limits is not None:
                _check_limits(work, memory + scratch_bytes(op, *inputs), limits)
        except ProgramError as error:
            raise ProgramError(f"call {at}{f' ({step.op})' * (step.op in OPS)}: {error}") from None
        calls.append(Call(op, step.inputs, step.outputs, step.writes, step.path, step.backward))
    require(made == len(specs), f"{len(specs) - made} values that nothing makes")
    return calls


def _check_limits(work: int, memory: int, limits: Limits) -> None:
    if memory > limits.memory:
        raise _too_large(memory, limits, "with its scratch")
    if work > limits.flops:
        raise ProgramError(
            f"a run takes {work:,} FLOPs up to here; the limit is {limits.flops:,}. "
            "Raise Limits.flops if you trust the file."
        )


def outputs_of(op: Op, inputs: Sequence[Spec]) -> tuple[Spec, ...]:
    """The specs of what an op makes of these inputs; ProgramError for whatever error it has with them."""
    try:
        check_op(op, *inputs)
        found = op.infer(*inputs)
    except ProgramError:
        raise
    except Exception as error:  # fields of a hostile file: whatever they lead to
        raise ProgramError(f"refuses its inputs: {one_line(error)}") from error
    return found if isinstance(found, tuple) else (found,)


def _check_made(op: Op, step: Step, outputs: tuple[Spec, ...], specs: Sequence[Spec], made: int) -> int:
    """Refuse outputs other than the next values, of these specs; the number of values that there are now."""
    require(len(step.outputs) == len(outputs), f"{len(step.outputs)} outputs; it has {len(outputs)}")
    require(
        len(step.writes) == len(op.mutates), f"{len(step.writes)} writes; it changes {len(op.mutates)} inputs"
    )
    new = tuple(dict.fromkeys((*step.outputs, *step.writes)))
    size = len(step.writes) + (0 if isinstance(op, _GIVE_BACK) else len(step.outputs))
    require(new == tuple(range(made, made + size)), f"makes the values {new[:8]}, not the next {size}")
    require(new[-1] < len(specs), "makes more values than there are")
    require(
        not isinstance(op, _GIVE_BACK) or step.outputs == step.writes[:1],
        "its output is not what its first changed input becomes",
    )
    expected = (*outputs, *(specs[step.inputs[i]] for i in op.mutates))
    for value, spec in zip((*step.outputs, *step.writes), expected, strict=True):
        if specs[value] != spec:
            raise ProgramError(f"value {value} is declared {specs[value]}, but is {spec}")
    return made + size


def _check_ends(document: Document, specs: Sequence[Spec]) -> None:
    """Refuse outputs that are not there, and updates of what is no state, twice, or in another shape."""
    require(max(document.outputs, default=-1) < len(specs), "it returns a value that is not there")
    keys = dict(document.states)
    updated = [keys.get(state, "") for state, _ in document.updates]
    require(all(updated) and len(set(updated)) == len(updated), "it updates what is no state, or one twice")
    require(list(document.updates) == sorted(document.updates), "its updates are not in order")
    for state, value in document.updates:
        require(
            value < len(specs) and specs[value] == specs[state],
            f"state {keys[state]} becomes a value of another shape or dtype",
        )


# ---------------------------------------------------------------- what tensors hold


def check_values(calls: Sequence[Call], specs: Sequence[Spec], known: Mapping[int, Array]) -> None:
    """Refuse indices out of range and scales that are no scales where they are in the file, by value.

    Raises ProgramError. Indices that come as inputs are the op's to check, at each run.
    """
    scales = _scales(calls, known)
    for at, call in enumerate(calls):
        op, inputs = call.op, [specs[v] for v in call.inputs]
        for position in _SCALES.get(type(op), ()):
            _check_scale(scales.get(call.inputs[position]), f"call {at} ({op.name})")
        ranges: dict[int, tuple[int, int]] = {}
        if isinstance(op, Take):
            ranges[1] = 0 if isinstance(op, Lookup) else -inputs[0].shape[0], inputs[0].shape[0]
        elif isinstance(op, Gather):
            ranges[1] = -inputs[0].shape[op.axis], inputs[0].shape[op.axis]
        elif isinstance(op, TakeGrad):
            ranges[1] = -op.rows, op.rows
        elif isinstance(op, GatherGrad):
            ranges[1] = -op.size, op.size
        elif isinstance(op, MaxPool2dGrad | MaxPool2dPick):
            ranges[1] = 0, math.prod(op.kernel)
        elif isinstance(op, AdamUpdate):
            ranges |= dict.fromkeys(range(4 * op.count + 1, 5 * op.count + 1), (0, 2**31))
        elif isinstance(op, Sparse):
            ranges[2] = 0, inputs[0].shape[-1]
            _check_starts(op, known.get(call.inputs[3]), inputs[1].shape[0], f"call {at} ({op.name})")
        for position, (low, high) in ranges.items():
            _check_range(known.get(call.inputs[position]), low, high, f"call {at} ({op.name})")
        if isinstance(op, CrossEntropy) and (labels := known.get(call.inputs[1])) is not None:
            counted = labels[labels != op.ignore_index]
            _check_range(counted, 0, inputs[0].shape[1], f"call {at} ({op.name})")


_SCALES: Mapping[type[Op], tuple[int, ...]] = {
    Quantize: (1,),
    FakeQuantize: (1,),
    GroupMatMul: (2,),
    LinearInt8: (1, 3),
    LinearInt4: (1, 3),
    Conv2dInt8: (1, 3),
    LookupInt8: (1,),
    LookupInt4: (1,),
}
"""Which inputs say what a step between two codes stands for."""


def _scales(calls: Sequence[Call], known: Mapping[int, Array]) -> Mapping[int, Array]:
    """The values that are scales, where they are in the file as they are, cast, or in another shape."""
    turned = [call for call in calls if isinstance(call.op, Cast | Reshape | Expand)]
    asked = {call.inputs[position] for call in calls for position in _SCALES.get(type(call.op), ())}
    for call in reversed(turned):
        if call.outputs[0] in asked:
            asked.add(call.inputs[0])
    held = {value: known[value] for value in asked if value in known}
    for call in turned:
        if call.outputs[0] in asked and call.inputs[0] in held:
            held[call.outputs[0]] = call.op.forward(held[call.inputs[0]])
    return held


def _check_scale(scale: Array | None, where: str) -> None:
    if scale is not None and not (np.isfinite(scale) & (scale > 0)).all():
        wrong = scale[~(np.isfinite(scale) & (scale > 0))].reshape(-1)
        raise ProgramError(f"{where}: {wrong.size} of its scales are no finite number above 0, as {wrong[0]}")


def _check_starts(op: Op, starts: Array | None, stored: int, where: str) -> None:
    if starts is not None:
        try:
            check_starts(op.name, starts, stored)
        except ShapeError as error:
            raise ProgramError(f"{where}: {str(error).removeprefix(f'{op.name}: ')}") from None


def _check_range(ids: Array | None, low: int, high: int, where: str) -> None:
    if ids is not None and ids.size:
        least, most = int(ids.min()), int(ids.max())
        require(
            low <= least and most < high,
            f"{where}: indices from {least} to {most}; there are {low} to {high - 1}",
        )
