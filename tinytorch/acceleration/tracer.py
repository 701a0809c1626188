"""Tracer: an observer that numbers arrays and writes down every op as a call on numbers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.acceleration.graph import Call
from tinytorch.ops.base import epoch_of, registry
from tinytorch.ops.context import OpEvent, context
from tinytorch.ops.index import Assign
from tinytorch.ops.meta import NoData
from tinytorch.ops.spec import Array, Spec
from tinytorch.tensor import Tensor

MOST_COMPARED = 4096
"""Bytes of a tensor whose values Python has read: a larger one counts as changed once it is written to."""


@dataclass
class Guard:
    """A tensor whose values Python has read: a trace holds as long as they stay."""

    tensor: Tensor
    epoch: int
    value: bytes | None

    @staticmethod
    def on(tensor: Tensor) -> Guard:
        """A guard on the values that the tensor has now."""
        small = tensor._array.nbytes <= MOST_COMPARED
        return Guard(tensor, epoch_of(tensor), tensor._array.tobytes() if small else None)

    def holds(self) -> bool:
        """Whether the values are what they were."""
        epoch = epoch_of(self.tensor)
        if epoch == self.epoch:
            return True
        if self.value is None or self.tensor._array.tobytes() != self.value:
            return False
        self.epoch = epoch
        return True


class Tracer:
    """An observer that numbers arrays and records calls.

    `inputs` are tensors that are given at each run; `outside` the ids of tensors that are known to live on.
    """

    def __init__(self, inputs: Sequence[Tensor], outside: Collection[int] = ()) -> None:
        self.specs: dict[int, Spec] = {}
        self.calls: list[Call] = []
        self.captured: dict[int, Tensor] = {}
        self.given: list[int] = []
        self.guards: list[Guard] = []
        self.refusal = ""
        self.ran_backward = False
        self.recorded = False
        """Whether any op ran with gradients on."""
        self.met_graph = False
        """Whether an op read a tensor with a graph that was there before."""
        self.nodes: set[int] = set()
        """Ids of the autograd nodes that belong to the trace."""
        self._outside = outside
        self._number: dict[int, int] = {}
        self._kept: list[Array] = []
        self._made: list[tuple[Array, str]] = []
        self._aliases: dict[int, list[int]] = {}
        self._stale: set[int] = set()
        self._first: dict[int, Array] = {}
        self._late: set[int] = set()
        for tensor in inputs:
            self.add_input(tensor)

    # ------------------------------------------------------------ numbers

    def add_input(self, tensor: Tensor) -> int:
        """Number a tensor that is given at each run."""
        number = self._new(tensor._array)
        self.given.append(number)
        return number

    def _new(self, array: Array) -> int:
        number = len(self.specs)
        self.specs[number] = Spec(array.shape, array.dtype)
        self._number[id(array)] = number
        self._aliases.setdefault(_memory(array), []).append(len(self._kept))
        self._kept.append(array)  # as long as it lives, its id is its own
        return number

    def find(self, tensor: Tensor) -> int | None:
        """The number of a tensor's value, if it has one."""
        return self._number.get(id(tensor._array))

    def value_of(self, tensor: Tensor) -> int:
        """The number of a tensor's value; one that was not seen before is captured."""
        number = self.find(tensor)
        if number is None:
            number = self._new(tensor._array)
            self.captured[number] = tensor
            if id(tensor) not in self._outside and not isinstance(tensor._array, NoData):
                self._first[number] = tensor._array.copy()
        elif id(tensor._array) in self._stale:
            self.refuse("it reads a view that was taken before the tensor changed in place")
        return number

    def now(self, number: int) -> int:
        """What a captured value has become by now."""
        return self._number[id(self.captured[number]._array)]

    def first(self, number: int) -> Array:
        """The elements of a captured value as the function found them."""
        return self._first.get(number, self.captured[number]._array)

    def refuse(self, reason: str) -> None:
        """Note why the function must run eagerly; the first reason counts."""
        self.refusal = self.refusal or reason

    # ------------------------------------------------------------ what is watched

    def on_op(self, event: OpEvent) -> None:
        """Write down a call."""
        self.ran_backward = self.ran_backward or event.backward
        self.recorded = self.recorded or context.state.grad
        nodes = (t._node for t in event.inputs if t.requires_grad)
        self.met_graph = self.met_graph or any(n is not None and id(n) not in self.nodes for n in nodes)
        self.nodes.update(id(t._node) for t in event.outputs if t._node is not None)
        seen = len(self.specs)
        inputs = tuple(map(self.value_of, event.inputs))
        writes = []
        for i in event.op.mutates:
            if inputs[i] >= seen and not isinstance(event.op, Assign):
                self._late.add(inputs[i])
            writes.append(self._rewritten(event.inputs[i]._array))
        outputs = []
        for out in event.outputs:
            known = self.find(out)
            if known is not None and (known in writes or known in inputs):
                outputs.append(known)  # an op may give back what it was given: contiguous, assign_
            else:
                outputs.append(self._new(out._array))
                self._made.append((out._array, event.op.name))
        if not writes and set(outputs) <= set(inputs):
            return
        self.calls.append(Call(event.op, inputs, tuple(outputs), tuple(writes), event.path, event.backward))

    def _rewritten(self, array: Array) -> int:
        if self._number[id(array)] in self.given:
            self.refuse("it changes one of its arguments in place")
        self._stale.update(map(id, self._overlapping(array)))
        self._stale.discard(id(array))
        number = len(self.specs)
        self.specs[number] = Spec(array.shape, array.dtype)
        self._number[id(array)] = number
        return number

    def _overlapping(self, array: Array) -> Iterator[Array]:
        """Other arrays that share elements with this one."""
        for position in self._aliases[_memory(array)]:
            other = self._kept[position]
            if other is not array and np.may_share_memory(other, array):
                yield other

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Note a value that went to Python: it must be the same at each run."""
        number = self.find(tensor)
        if number is None or number in self.captured:
            self.guards.append(Guard.on(tensor))
            return
        maker = next((c for c in reversed(self.calls) if number in c.made), None)
        source = f"what {maker.op.name} made" if maker else "an argument"
        where = f" in {maker.path}" if maker and maker.path else ""
        self.refuse(
            f"{how} gives {source}{where} to Python, which may decide by it or compute with it. "
            "Keep to tensors: where() for a branch, and return a tensor instead of its item()"
        )

    # ------------------------------------------------------------ references from outside

    def constants(self, held: Counter[int]) -> set[int]:
        """Captured values that nobody else can reach, so that they never change.

        `held`: how often tensors and arrays, by id, are held by what is known to hold them.
        """
        probe = registry.make(np.zeros(()))
        self.captured[-1] = probe
        self._kept.append(probe._array)
        del probe
        found = set()
        own = others = 0
        for number in (-1, *(n for n in self.captured if n >= 0)):
            tensor = self.captured[number]
            array = tensor._array
            # references by the dict, by these names and by whatever this Python counts beside them
            tensor_count, array_count = sys.getrefcount(tensor), sys.getrefcount(array)
            if number < 0:
                own, others = tensor_count, array_count
            elif (
                tensor_count - held[id(tensor)] <= own
                and array_count - held[id(array)] <= others
                and id(tensor) not in self._outside
                and tensor._base is None
                and array.base is None
            ):
                found.add(number)
        del self.captured[-1], self._kept[-1]
        late = sorted(self._late & found)
        if late:
            self.refuse(f"{self._writer(late[0])} changes a tensor that the function makes anew at each call")
        return found

    def _writer(self, number: int) -> str:
        return next(c.op.name for c in self.calls if number in c.inputs and c.writes)

    def escaped(self, held: Counter[int], known: set[int]) -> str:
        """The op whose result someone outside of the function has kept, or nothing."""
        bases = Counter(id(array.base) for array in self._kept if array.base is not None)
        self._made.append((np.zeros(()), ""))
        self._kept.append(self._made[-1][0])
        least = 0
        found = ""
        for array, name in reversed(self._made):
            count = sys.getrefcount(array) - held[id(array)] - bases[id(array)]
            if not name:
                least = (
                    count  # what the lists, these names and this Python hold of the one that was just made
                )
            elif count > least and id(array) not in known:
                found = name
        del self._made[-1], self._kept[-1]
        return found

    def aliases(self) -> str:
        """Why a change in place would be seen through another tensor that the function uses, or nothing."""
        outside = {id(t._array) for t in self.captured.values()}
        outside.update(id(a) for a in self._kept if self._number[id(a)] in self.given)
        for number in self.captured:
            array = self.captured[number]._array
            if self.now(number) == number:
                continue
            if any(id(other) in outside for other in self._overlapping(array)):
                return "it changes a tensor in place that shares memory with another tensor that it uses"
        return ""


def _memory(array: Array) -> int:
    """The id of what owns an array's memory."""
    owner: object = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return id(owner)
