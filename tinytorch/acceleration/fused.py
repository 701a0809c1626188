"""Fused: several calls of a graph as one op, which a single kernel computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.acceleration.blockwise import in_blocks
from tinytorch.acceleration.graph import Call, describe
from tinytorch.acceleration.interpret import run_call
from tinytorch.ops.base import Op
from tinytorch.ops.spec import Array, Spec


@dataclass(eq=False, repr=False)
class Fused(Op):
    """Calls in order on values by number; `inputs` come from outside, `results` leave.

    What a call in it changes in place is a result here: a fused op itself changes nothing.
    """

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    results: tuple[int, ...]
    specs: dict[int, Spec]

    @property
    def outputs(self) -> int:  # type: ignore[override]  # depends on what is fused
        """How many results there are."""
        return len(self.results)

    @property
    def name(self) -> str:
        """The names of the ops, joined; of many the first ones and their number."""
        names = [call.op.name for call in self.calls]
        return "+".join(names) if len(names) <= 4 else f"{'+'.join(names[:3])}+{len(names) - 3} more"

    def infer(self, *inputs: Any) -> Any:
        found = tuple(self.specs[v] for v in self.results)
        return found if len(found) > 1 else found[0]

    def forward(self, *inputs: Array) -> Any:
        """The results, in order; a chain of element-wise calls goes block by block, to stay in the cache."""
        if self._is_chain():
            found = tuple(np.empty(self.specs[v].shape, self.specs[v].dtype) for v in self.results)
            in_blocks(self._computed, inputs, found)
        else:
            found = self._computed(*inputs)
        return found if len(found) > 1 else found[0]

    def _is_chain(self) -> bool:
        """Whether all calls are element-wise, over one axis or more."""
        from tinytorch.acceleration.passes.elementwise import is_elementwise  # which imports this file

        some_axis = bool(self.specs[self.results[0]].shape)
        return some_axis and all(is_elementwise(call, self.specs) for call in self.calls)

    def _computed(self, *inputs: Array) -> tuple[Array, ...]:
        values = dict(zip(self.inputs, inputs, strict=True))
        for call in self.calls:
            run_call(call, values)
        return tuple(np.asarray(values[v]) for v in self.results)

    def flops(self, out: Any, *inputs: Spec) -> int | None:
        """The sum over its ops; None if one of them is uncounted."""
        counts = [flops_of(call, self.specs) for call in self.calls]
        return None if None in counts else sum(count for count in counts if count is not None)

    def matmul_flops(self, out: Any, *inputs: Spec) -> int:
        return sum(
            call.op.matmul_flops(_out(call, self.specs), *(self.specs[v] for v in call.inputs))
            for call in self.calls
        )

    def __repr__(self) -> str:
        return f"Fused({'; '.join(self._lines())})"

    def _lines(self) -> Iterator[str]:
        for call in self.calls:
            made = ", ".join(f"v{v}" for v in call.made)
            yield f"{made} = {describe(call.op)}({', '.join(f'v{v}' for v in call.inputs)})"


def _out(call: Call, specs: dict[int, Spec]) -> Any:
    found = tuple(specs[v] for v in call.outputs)
    return found if call.op.outputs > 1 else found[0]


def flops_of(call: Call, specs: dict[int, Spec]) -> int | None:
    """A call's work by its op's own rule, in FLOPs; None where the op has none."""
    return call.op.flops(_out(call, specs), *(specs[v] for v in call.inputs))


def parts(call: Call) -> tuple[Call, ...]:
    """The calls that a call stands for: those of a fused op, or itself."""
    return call.op.calls if isinstance(call.op, Fused) else (call,)
