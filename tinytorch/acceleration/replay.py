"""A program on inputs of other sizes than it was traced with: larger batches, shorter texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.errors import ProgramError, TinyTorchError
from tinytorch.nn.module import Module
from tinytorch.ops.base import Op
from tinytorch.ops.shape import Expand, Reshape
from tinytorch.ops.spec import Shape, Spec
from tinytorch.tensor import Tensor, from_numpy


@dataclass(frozen=True)
class Growth:
    """What grows with one axis of the inputs: for each value its axes that do, and rows of fixed values.

    size: of that axis in the program; axes: by value; rows: for (call, place of an input) the axis along
    which a value made of weights alone meets it, such as a table of positions.
    """

    size: int
    axes: Mapping[int, tuple[int, ...]]
    rows: Mapping[tuple[int, int], int]


def growth(graph: Graph, axis: int, probe: int) -> Growth:
    """What grows when `axis` of all inputs becomes `probe` long; raises ProgramError where that cannot be.

    Found by letting each op infer its shapes anew. That a program computes the same for each sample then is
    not said: it may sum over them. Whoever relies on it compares results.
    """
    size = graph.specs[graph.inputs[0]].shape[axis]
    specs = dict(graph.specs)
    for value in graph.inputs:
        specs[value] = Spec(changed(graph.specs[value].shape, axis, probe), graph.specs[value].dtype)
    moving = set(graph.inputs)
    rows: dict[tuple[int, int], int] = {}
    for at, call in enumerate(graph.calls):
        if not moving.intersection(call.inputs):
            continue
        moving.update(call.made)
        _infer(graph, at, call, specs, moving, rows, size, probe)
    axes = {
        value: tuple(i for i, (a, b) in enumerate(zip(spec.shape, specs[value].shape, strict=True)) if a != b)
        for value, spec in graph.specs.items()
        if spec.shape != specs[value].shape
    }
    return Growth(size, axes, rows)


def changed(shape: Shape, axis: int, size: int) -> Shape:
    """The shape with another size along one axis.

    >>> changed((1, 128), 1, 64)
    (1, 64)
    """
    return (*shape[:axis], size, *shape[axis + 1 :])


def _infer(
    graph: Graph,
    at: int,
    call: Call,
    specs: dict[int, Spec],
    moving: set[int],
    rows: dict[tuple[int, int], int],
    size: int,
    probe: int,
) -> None:
    """Enter the new specs of what a call makes."""
    old, new = [graph.specs[v] for v in call.inputs], [specs[v] for v in call.inputs]
    if old == new:
        return
    op = call.op
    if isinstance(op, Reshape | Expand):
        op = replace(op, shape=_regrouped(old[0].shape, new[0].shape, op.shape, size))
    try:
        found = op.infer(*new)
    except (TinyTorchError, ValueError, ArithmeticError):
        for place, value in enumerate(call.inputs):
            axis = _meets(old, new, place) if value not in moving else None
            if axis is not None:
                rows[at, place] = axis
                new[place] = Spec(changed(old[place].shape, axis, probe), old[place].dtype)
        try:
            found = op.infer(*new)
        except (TinyTorchError, ValueError, ArithmeticError) as error:
            raise ProgramError(f"replay: call {at} ({op.name}) does not take other sizes: {error}") from None
    specs.update(zip(call.outputs, found if isinstance(found, tuple) else (found,), strict=True))


def _meets(old: Sequence[Spec], new: Sequence[Spec], place: int) -> int | None:
    """The axis along which a fixed input has a row for each of what grows, counting axes from the right.

    Only one that stands in place of a whole operand does: two inputs of one shape but for leading axes.
    """
    fixed = old[place].shape
    for before, after in zip(old, new, strict=True):
        if before == after or len(before.shape) < len(fixed):
            continue
        lead = len(before.shape) - len(fixed)
        if before.shape[lead:] != fixed:
            continue
        for axis in range(len(fixed)):
            if before.shape[lead + axis] != after.shape[lead + axis]:
                return axis
    return None


def _regrouped(before: Shape, after: Shape, target: Shape, size: int) -> Shape:
    """The target of a reshape of `before`, for `after`: what grows stays with the axes that it is part of.

    Axes are matched from the left in groups of equal products. In a group, the first axis of the target that
    can hold what grew, which was `size` long at first, takes its growth.

    >>> _regrouped((1, 128, 64), (1, 32, 64), (1, 128, 4, 16), 128), _regrouped((8, 4), (40, 4), (1, 8, 4), 1)
    ((1, 32, 4, 16), (5, 8, 4))
    """
    made = list(target)
    i = j = 0
    while i < len(before) and j < len(target):
        first_in, first_out = i, j
        source, goal = before[i], target[j]
        i, j = i + 1, j + 1
        while source != goal:
            if source < goal and i < len(before):
                source, i = source * before[i], i + 1
            elif goal < source and j < len(target):
                goal, j = goal * target[j], j + 1
            else:
                raise ProgramError(f"replay: {before} is not reshaped to {target} axis by axis")
        for axis in range(first_in, i):
            if before[axis] != after[axis]:
                holds = [k for k in range(first_out, j) if made[k] % size == 0]
                if not holds:
                    raise ProgramError(f"replay: axis {axis} of {before} is spread over several of {target}")
                made[holds[0]] = made[holds[0]] * after[axis] // before[axis]
    if math.prod(made) != math.prod(after):
        raise ProgramError(f"replay: {after} does not become {tuple(made)}")
    return tuple(made)


class Replay(Module):
    """A stateless program as a model whose batch may be of any size, run call by call; `compile` takes it.

    Raises ProgramError for a program that changes states, or whose shapes do not follow its batch.

    >>> from tinytorch.models import MLP
    >>> from tinytorch.acceleration.trace import trace
    >>> model = MLP((4, 3))
    >>> with tt.no_grad():
    ...     Replay(trace(model, (model.example_input,)).graph)(Tensor([[1.0] * 4] * 5)).shape
    (5, 3)
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        if graph.updates or any(call.op.mutates for call in graph.calls):
            raise ProgramError("replay: this program changes states; take one that only computes")
        if not graph.inputs or any(not graph.specs[v].shape for v in graph.inputs):
            raise ProgramError("replay: this program has no inputs with a batch")
        self.graph = graph
        self.batch = growth(graph, 0, 2 * graph.specs[graph.inputs[0]].shape[0])
        self.held = {
            **dict(graph.states.items()),
            **{v: from_numpy(array) for v, array in graph.constants.items()},
        }

    def forward(self, *inputs: Tensor) -> Any:
        """What the program gives for inputs whose first axis may differ."""
        values: dict[int, Any] = {**self.held, **dict(zip(self.graph.inputs, inputs, strict=True))}
        times = inputs[0].shape[0] / self.batch.size
        for at, call in enumerate(self.graph.calls):
            op = fitted(call, [(self.batch, times)])
            given = self.given(at, call, [values[v] for v in call.inputs])
            values.update(zip(call.outputs, op.all(*given), strict=True))
        found = tuple(values[v] for v in self.graph.outputs)
        return found[0] if len(found) == 1 else found

    def given(self, at: int, call: Call, inputs: list[Tensor]) -> list[Tensor]:
        """The inputs of a call; a fixed one of a row for each sample of the batch is none that can grow."""
        if any((at, place) in self.batch.rows for place in range(len(inputs))):
            raise ProgramError(f"replay: call {at} ({call.op.name}) has weights for each sample of a batch")
        return inputs


def fitted(call: Call, times: Sequence[tuple[Growth, float]]) -> Op:
    """The op of a call, with the shape that it holds grown by so many times."""
    op = call.op
    if not isinstance(op, Reshape | Expand):
        return op
    shape = list(op.shape)
    for grown, factor in times:
        for axis in grown.axes.get(call.outputs[0], ()):
            shape[axis] = round(shape[axis] * factor)
    return replace(op, shape=tuple(shape))
