"""Gradients in a trace: what a function does to `.grad` of leaves, and the backward pass of its result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytorch.acceleration.tracer import Tracer
from tinytorch.autograd import Source, propagate, topological_order
from tinytorch.errors import GradientError
from tinytorch.ops.base import Gradient, Node, Op, registry
from tinytorch.ops.context import context
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- .grad of leaves


@dataclass
class Leaves:
    """Leaves whose `.grad` a function may read or set, and what it was before."""

    before: dict[int, tuple[Tensor, Tensor | None]]
    numbers: dict[int, int] = field(default_factory=dict)
    """Of the gradients of before, by leaf."""

    @staticmethod
    def among(tensors: Iterable[Tensor]) -> Leaves:
        """Those that require a gradient and were not made by an op."""
        return Leaves({id(t): (t, t.grad) for t in tensors if t.requires_grad and t._node is None})

    def number(self, tracer: Tracer) -> None:
        """Number the gradients that are there: a program reads them anew at each run."""
        for key, (_, grad) in self.before.items():
            if grad is not None:
                if tracer.find(grad) is not None:
                    tracer.refuse("one of its arguments is the gradient of a tensor that it uses")
                self.numbers[key] = tracer.add_input(grad)

    def becomes(self, tracer: Tracer) -> list[tuple[Tensor, int | None]]:
        """Leaves whose `.grad` is another one now, and its number, or None where it was taken away."""
        found: list[tuple[Tensor, int | None]] = []
        for leaf, grad in self.before.values():
            if leaf.grad is not grad:
                found.append((leaf, None if leaf.grad is None else tracer.value_of(leaf.grad)))
        leaves = (t for t in tracer.captured.values() if t.requires_grad and t._node is None)
        strange = [t.grad for t in leaves if id(t) not in self.before]
        if any(grad is not None and tracer.find(grad) is not None for grad in strange):
            tracer.refuse(
                "it uses or sets the gradient of a tensor that cannot be found from it: in a module, in an "
                "optimizer, or in a variable that it uses"
            )
        return found


# ---------------------------------------------------------------- the backward pass of the result


@dataclass(eq=False)
class Enter(Op):
    """out = a: where a tensor with a graph of its own enters a function that is traced"""

    def vjp(self, g: Tensor, out: Any, a: Any) -> tuple[Gradient, ...]:
        return (g,)


def entered(tensor: Tensor) -> Tensor:
    """A tensor of the same values, behind whose node lies the graph that the tensor came with."""
    twin = registry.make(tensor._array)
    twin._node, twin.requires_grad = Node(Enter(), (tensor,), None, (), context.state.path), True
    return twin


@dataclass(eq=False)
class Seeds(Op):
    """The end of several results: its gradients are given"""

    cotangents: tuple[Tensor, ...]

    def vjp(self, g: Tensor, out: Any, *results: Any) -> tuple[Gradient, ...]:
        return self.cotangents


def is_live(tensor: Tensor, edge: set[Node]) -> bool:
    """Whether backward can begin at a tensor: an op made it, and none of the graph behind it was freed."""
    if tensor._node is None:
        return False
    try:
        topological_order(tensor._node, edge)
    except GradientError:
        return False
    return True


def trace_backward(
    tracer: Tracer, roots: Sequence[Tensor], entries: Sequence[Tensor]
) -> tuple[list[Tensor], list[int]]:
    """Trace the backward pass of several results in one: the tensors that it reaches, and their gradients.

    Cotangents of the results become inputs. The pass ends at leaves, and at `entries`.
    """
    edge = {t._node for t in entries if t._node is not None}
    cotangents = tuple(registry.make(np.ones_like(root._array, order="C", subok=False)) for root in roots)
    for cotangent in cotangents:
        tracer.add_input(cotangent)
    end = Node(Seeds(cotangents), tuple(roots), None, (), "")
    order = topological_order(end, edge)
    targets: dict[int, Tensor] = {id(t._node): t for t in entries}
    for node in order:
        if node not in edge:
            targets.update((id(t), t) for t in node.inputs if isinstance(t, Tensor) and t._node is None)
    found: dict[int, Tensor] = {}

    def give(source: Source, g: Tensor) -> None:
        if id(source) in targets:
            found[id(source)] = found[id(source)] + g if id(source) in found else g

    here = context.state
    outer = here.grad, here.path, here.backward
    here.grad, here.backward = False, True
    try:
        propagate(order, registry.make(np.ones(())), give, retain_graph=True)
    finally:
        here.grad, here.path, here.backward = outer
    reached = [(targets[key], g) for key, g in found.items()]
    return [t for t, _ in reached], [tracer.value_of(g) for _, g in reached]


def graph_references(roots: Iterable[Tensor]) -> tuple[dict[int, Tensor], list[Tensor | Array]]:
    """The tensors in the graph behind some tensors, by id, and references of nodes to them and to arrays."""
    tensors: dict[int, Tensor] = {id(t): t for t in roots}
    references: list[Tensor | Array] = []
    seen: set[Node] = set()
    waiting = [t._node for t in tensors.values()]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for t in node.inputs:
            waiting.append(t._node)
            if isinstance(t, Tensor):
                references.append(t)
                tensors[id(t)] = t
        references += [array for array in (node.out, *node.aux) if array is not None]
    return tensors, references
