"""The backend `compiled`: each op as a native program of its own, made for the shapes that it meets."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tinytorch.acceleration.graph import Call, Graph, describe
from tinytorch.acceleration.native.lower import lower, native_ops
from tinytorch.acceleration.native.program import Program
from tinytorch.ops.base import Op
from tinytorch.ops.context import register_kernel
from tinytorch.ops.spec import Array, Spec

MOST_PROGRAMS = 512
"""Programs that a thread keeps; the oldest goes first."""


class _Programs(threading.local):
    """Programs of this thread: their working memory is not shared."""

    def __init__(self) -> None:
        self.by_key: dict[Any, Program] = {}


_programs = _Programs()


def run(op: Op, *arrays: Array) -> Any:
    """What `op.forward(*arrays)` gives, by a program; inputs that the op changes are changed in place."""
    key = type(op), describe(op), tuple((a.shape, a.dtype) for a in arrays)
    known = _programs.by_key
    program = known.get(key)
    if program is None:
        program = known[key] = _program(op, arrays)
        if len(known) > MOST_PROGRAMS:
            del known[next(iter(known))]
    found = program.run([np.ascontiguousarray(a) for a in arrays], 0)
    outputs, writes = found[: op.outputs], found[op.outputs :]
    for position, array in zip(op.mutates, writes, strict=True):
        arrays[position][...] = array
    if op.outputs > 1:
        return tuple(outputs)
    return arrays[op.mutates[0]] if _gives_what_it_changes(op) else outputs[0]


def _program(op: Op, arrays: tuple[Array, ...]) -> Program:
    """A graph of one call: outputs first, then what changed inputs become."""
    specs = {i: Spec(a.shape, a.dtype) for i, a in enumerate(arrays)}
    inputs = tuple(specs)
    made = op.infer(*specs.values())
    outputs, writes = [], []
    for spec in made if op.outputs > 1 else (made,):
        outputs.append(len(specs))
        specs[len(specs)] = spec
    for position in op.mutates:
        writes.append(len(specs))
        specs[len(specs)] = specs[position]
    if _gives_what_it_changes(op):
        outputs = writes[:1]
    call = Call(op, inputs, tuple(outputs), tuple(writes))
    return Program(lower(Graph(specs, inputs, {}, {}, [call], (*outputs, *writes))))


def _gives_what_it_changes(op: Op) -> bool:
    """Whether output 0 is the first input that the op changes, as with updates and `assign_`."""
    return bool(op.mutates) and type(op).__name__ != "Uniform"


for _op in native_ops():
    register_kernel("compiled", _op)(run)
