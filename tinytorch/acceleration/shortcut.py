"""The short way from a call to its program: one Python function, generated for one kind of call.

A small model's program runs for microseconds, about as long as Python takes to go through loops that compare
arguments and attributes with what they were. Here the loops are unrolled: each comparison is an expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch.ops.base import clock, registry
from tinytorch.tensor import Tensor
from tinytorch.threads import limit

if TYPE_CHECKING:
    from tinytorch.acceleration.native.program import Program
    from tinytorch.acceleration.situation import Situation

MOST_COMPARED = 2_000
"""Values of Python that a generated function compares; with more of them there is no short way."""
AS_IT_IS = 0x101
"""Of NumPy's flags: rows in order, and aligned."""

Shortcut = Callable[[tuple[Any, ...], bool], Tensor | None]


def shortcut(situation: Situation, program: Program, positions: list[int]) -> Shortcut | None:
    """A function of (args, grad) that runs the program and gives its one result, or None for other calls.

    Only for a program that is one native function on one thread and checks no values. That function keeps the
    interpreter's lock, so it is safe without the lock of the compiled function. Nothing is looked at again
    elsewhere: whatever differs from the call that was traced must lead to None.
    """
    call = program.only_call()
    if call is None or not situation.plain or situation.reach.watched > MOST_COMPARED:
        return None
    names: dict[str, Any] = {"limit": limit, "clock": clock, "make": registry.make, "empty": np.empty}
    names |= {"Tensor": Tensor, "ndarray": np.ndarray, "known": situation.known, "program": program}
    names |= {"run": call, "table": program.table, "code": program.code}
    spec = program.output_specs[0]
    names |= {"out_shape": spec.shape, "out_dtype": spec.dtype}
    count = len(situation.kinds)
    lines = [f"if grad is not {situation.grad} or len(args) != {count}:", "    return None"]
    for i, (shape, dtype, wanted, _) in enumerate(situation.kinds):
        fixed = situation.fixed[i]
        stranger = f"id(a{i}) in known" if fixed is None else f"id(a{i}) != {fixed}"
        names |= {f"shape{i}": shape, f"dtype{i}": dtype}
        lines += [
            f"x{i} = args[{i}]",
            f"if type(x{i}) is not Tensor or x{i}.requires_grad is not {wanted}:",
            "    return None",
            f"a{i} = x{i}._array",
            f"if type(a{i}) is not ndarray or a{i}.dtype is not dtype{i} or a{i}.shape != shape{i}"
            f" or a{i}.flags.num & {AS_IT_IS} != {AS_IT_IS} or {stranger}:",
            "    return None",
        ]
    for i in range(1, count):
        lines += [f"if {' or '.join(f'a{i} is a{j}' for j in range(i))}:", "    return None"]
    tests = list(situation.reach.tests(names))
    if tests:
        lines += ["try:", "    if (", *(f"        {'or ' * (i > 0)}{test}" for i, test in enumerate(tests))]
        lines += ["    ):", "        return None", "except LookupError:", "    return None"]
    arrays = "".join(f"a{position}, " for position in (positions[i] for i in program.layout.inputs))
    lines += [
        "if program.code is not code or clock.now != program.prepared_at or limit() != program.limit:",
        "    return None",
        "out = empty(out_shape, out_dtype)",
        f"run(table, {arrays}out)",
        "return make(out)",
    ]
    text = "def call(args, grad):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(text, "<the short way into a program>", "exec"), names)
    found: Shortcut = names["call"]
    return found
