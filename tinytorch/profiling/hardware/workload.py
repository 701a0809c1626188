"""What a call asks of a machine: its ops with FLOPs, bytes and calls, and what goes in and comes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinytorch.errors import ProfilingError
from tinytorch.ops.context import grad_mode
from tinytorch.profiling.counting.flops import OpCost
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.subject import Subject
from tinytorch.profiling.trace import Key, OpCosts
from tinytorch.tensor import Tensor


@dataclass(frozen=True)
class Demand:
    """`calls` calls of one op, alike or not: FLOPs (of them in matrix products) and bytes of all together."""

    name: str
    flops: float
    bytes: float
    matmul_flops: float
    calls: float = 1


@dataclass(frozen=True)
class Workload:
    """The ops of one pass; bytes of its inputs, outputs and weights; inferences that a pass makes.

    `uncounted`: ops whose FLOPs are unknown and count as none.
    """

    name: str
    ops: tuple[Demand, ...]
    input_bytes: int = 0
    output_bytes: int = 0
    parameter_bytes: int = 0
    batch: int = 1
    uncounted: tuple[str, ...] = ()

    @property
    def flops(self) -> float:
        """FLOPs of all ops."""
        return sum(op.flops for op in self.ops)

    @property
    def bytes(self) -> float:
        """Bytes that all ops move."""
        return sum(op.bytes for op in self.ops)


def record(subject: Subject, name: str = "") -> Workload:
    """Run a call once, without recording for backward, and note what its ops cost.

    Inferences in a pass are the size of the first axis of the first input.
    Raises ProfilingError where no op of TinyTorch runs.

    >>> from tinytorch.models import MLP
    >>> from tinytorch.profiling.subject import subject_of
    >>> work = record(subject_of(MLP((4, 3))))
    >>> work.ops[-1], work.input_bytes, work.output_bytes
    (Demand(name='linear', flops=27, bytes=88, matmul_flops=24, calls=1), 16, 12)
    """
    results: list[Any] = []
    costs = _watch(lambda: results.append(subject.call()))
    if not costs:
        raise ProfilingError(f"{subject.name}: no op of TinyTorch runs in it, so there is nothing to count")
    inputs = [value for value in (*subject.args, *subject.kwargs.values()) if isinstance(value, Tensor)]
    outputs = results[0] if isinstance(results[0], tuple) else results
    parameters = subject.model.parameters() if subject.model is not None else ()
    return Workload(
        name or subject.name,
        tuple(_demand(key, cost) for key, cost in costs),
        sum(tensor.nbytes for tensor in inputs),
        sum(value.nbytes for value in outputs if isinstance(value, Tensor)),
        sum(tensor.nbytes for tensor in parameters),
        inputs[0].shape[0] if inputs and inputs[0].ndim else 1,
        tuple(sorted({key.op for key, cost in costs if cost.flops is None})),
    )


def record_call(call: Callable[[], object]) -> tuple[Demand, ...]:
    """The ops that a call runs, without recording for backward.

    >>> from tinytorch.tensor import ones
    >>> record_call(lambda: ones(2, 3) + ones(2, 3))
    (Demand(name='add', flops=6, bytes=72, matmul_flops=0, calls=1),)
    """
    return tuple(_demand(key, cost) for key, cost in _watch(call))


def _watch(call: Callable[[], object]) -> list[tuple[Key, OpCost]]:
    costs = OpCosts()
    with grad_mode(False):
        costs.run(call)
    return costs.rows


def _demand(key: Key, cost: OpCost) -> Demand:
    return Demand(key.op, cost.flops or 0, cost.bytes, cost.matmul_flops)


def from_profile(profile: Profile) -> Workload:
    """The work of a profile's pass, its ops together by kind; what goes in and out is not in a profile.

    Inferences in a pass are read from the first input's shape. Raises ProfilingError for a profile of
    gradients, or one in which no op was seen.
    """
    if profile.mode != "forward" or not profile.ops:
        raise ProfilingError(
            f"{profile.name}: a profile of mode {profile.mode!r} with {len(profile.ops)} kinds of op; "
            "costs are of forward passes of a model. Profile it without --backward."
        )
    ops = [Demand(row.name, row.flops or 0, row.bytes, row.matmul_flops, row.calls) for row in profile.ops]
    shape = re.search(r"\[(\d+)", profile.configuration.get("inputs", ""))
    return Workload(
        profile.name,
        tuple(ops),
        parameter_bytes=sum(row.parameter_bytes for row in profile.modules),
        batch=int(shape[1]) if shape else 1,
        uncounted=profile.uncounted,
    )
