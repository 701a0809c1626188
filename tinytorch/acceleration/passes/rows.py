"""Rows that are wanted: where only some rows of a product are read, the others are not computed."""

from __future__ import annotations

from dataclasses import replace

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.ops import blocks, integer, matmul, quantize
from tinytorch.ops.base import Op
from tinytorch.ops.context import rules
from tinytorch.ops.index import Take
from tinytorch.ops.shape import Reshape
from tinytorch.ops.spec import Spec

_CARRIES: dict[type[Op], tuple[int, ...]] = {
    matmul.MatMul: (0,),
    blocks.BlockLinear: (0, 1, 2),
    blocks.QuantizeBlocks: (0,),
    quantize.QuantizeRows: (0,),
    integer.IntMatMul: (0,),
    integer.GroupMatMul: (0,),
}
"""Ops whose rows are computed each from one row of some inputs, and which inputs those are."""


def take_early(graph: Graph) -> Graph:
    """The graph with rows picked before a product rather than after it.

    A language model's logits are wanted for the last token alone, and its head is a third of its work. What
    else reads all rows still does; then both are computed.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.ops.index import take
    >>> from tinytorch.tensor import Tensor, ones
    >>> graph = trace(lambda x, ids: take(x @ ones(3, 4), ids), [ones(5, 3), Tensor([4])]).graph
    >>> [call.op.name for call in take_early(graph).calls]
    ['matmul', 'take', 'matmul']
    """
    graph = graph.with_calls(graph.calls)
    rows, names = _Rows(graph), dict[int, int]()
    for call in graph.calls:
        moved = None
        if type(call.op) is Take and graph.specs[call.inputs[1]].ndim == 1:
            moved = rows.of_result(call, call.inputs[0])
        if moved is None:
            rows.calls.append(call)
        else:
            names[call.outputs[0]] = moved
    return graph.renamed(rows.calls, names)


class _Rows:
    """The calls of a graph as they become, and what is picked of which value so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.makers, self.calls = graph, graph.makers(), list[Call]()
        self.known: dict[tuple[int, int], int] = {}

    def of_result(self, take: Call, value: int) -> int | None:
        """The picked rows of a value, from picked rows of what makes it; None where that is no gain."""
        graph, root = self.graph, _behind_reshapes(self.graph, self.makers, value)
        maker = graph.calls[self.makers[root]] if root in self.makers else None
        if maker is None or type(maker.op) not in _CARRIES or type(maker.op).__name__ in rules:
            return None
        carried = _CARRIES[type(maker.op)]
        weights = isinstance(maker.op, blocks.BlockLinear)  # which lie in panels, and are no matrix
        matrices = [maker.inputs[i] for i in carried] if weights else maker.inputs
        if any(graph.specs[v].ndim != 2 for v in (value, *matrices)):  # else what is picked would be no rows
            return None
        inputs = list(maker.inputs)
        for i in carried:
            inputs[i] = self.of_operand(take, maker.inputs[i])
        made = {v: self._new(take, v) for v in maker.outputs}
        self.calls.append(replace(maker, inputs=tuple(inputs), outputs=tuple(made.values())))
        self.known.update({(v, take.inputs[1]): new for v, new in made.items()})
        return made[root]

    def of_operand(self, take: Call, value: int) -> int:
        """The picked rows of an operand: computed so, or taken out of it."""
        ids = take.inputs[1]
        root = _behind_reshapes(self.graph, self.makers, value)
        if (root, ids) in self.known:
            return self.known[root, ids]
        found = self.of_result(take, value)
        if found is None:
            found = self._new(take, value)
            self.calls.append(replace(take, inputs=(value, ids), outputs=(found,)))
            self.known[root, ids] = found
        return found

    def _new(self, take: Call, value: int) -> int:
        """A value for the picked rows of another."""
        spec, count = self.graph.specs[value], self.graph.specs[take.inputs[1]].shape[0]
        return self.graph.new_value(Spec((count, *spec.shape[1:]), spec.dtype))


def _behind_reshapes(graph: Graph, makers: dict[int, int], value: int) -> int:
    """What a matrix is a reshape of, as long as its rows stay the same."""
    columns = graph.specs[value].shape[-1:]
    while value in makers and isinstance(graph.calls[makers[value]].op, Reshape):
        source = graph.calls[makers[value]].inputs[0]
        if graph.specs[source].shape[-1:] != columns:
            break
        value = source
    return value
