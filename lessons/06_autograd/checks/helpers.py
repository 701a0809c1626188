"""What the checks of this lesson share: rules run on arrays, sums by hand, and what flows through graphs."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import numpy as np

from tinytorch.autograd import propagate, topological_order
from tinytorch.ops.base import Node, Op
from tinytorch.ops.context import grad_mode
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor


def leaf(values: Any) -> Tensor:
    """A tensor that asks for a gradient."""
    return Tensor(np.asarray(values), requires_grad=True)


def gradients(op: Op, g: Any, *arrays: Any) -> Any:
    """What the rule of `op` gives for g, the gradient of its output, seeing only the values that it keeps."""
    return _rule_run(op, Tensor(g), [leaf(a) for a in arrays])


def linked_to_g(op: Op, g: Any, *arrays: Any) -> list[bool]:
    """For each gradient whether it asks for one itself where g does, and the inputs do not."""
    return [found.requires_grad for found in _rule_run(op, leaf(g), [Tensor(a) for a in arrays])]


def _rule_run(op: Op, g: Tensor, inputs: list[Tensor]) -> Any:
    out = op(*inputs)
    kept = range(len(inputs)) if op.keeps is None else op.keeps
    seen = [t if i in kept else Spec(t.shape, t.dtype) for i, t in enumerate(inputs)]
    found = op.vjp(g, out if op.keeps_output else Spec(out.shape, out.dtype), *seen)
    return tuple(f() if callable(f) else f for f in found) if isinstance(found, tuple | list) else found


def summed_by_hand(g: Any, shape: tuple[int, ...]) -> Any:
    """g added up, element by element, into the element of `shape` that broadcasting copied to its place."""
    total = np.zeros(shape)
    for at in np.ndindex(g.shape):
        own = at[len(at) - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))] += g[at]
    return total


def out_of_order(order: list[Node]) -> list[str]:
    """The uses in which a node does not stand before the one whose output it takes."""
    place = {id(node): i for i, node in enumerate(order)}
    return [
        f"{node.op.name} after {t._node.op.name}"
        for node in order
        for t in node.inputs
        if t._node is not None and place.get(id(t._node), len(order)) <= place[id(node)]
    ]


class Carried:
    """What `propagate` hands out, noted: the sum for each leaf, and how often each was given something."""

    def __init__(self) -> None:
        self.sums: dict[int, Any] = {}
        self.given: list[Any] = []

    def give(self, source: Any, g: Tensor) -> None:
        """Note one gradient."""
        self.given.append(source)
        self.sums[id(source)] = self.sums[id(source)] + g if id(source) in self.sums else g


def carry(out: Tensor, g: Any, sources: list[Any], **options: bool) -> list[Any]:
    """The gradients that `propagate` hands to leaves or nodes, each summed; None for one that got none."""
    carried = Carried()
    propagate(topological_order(out._node), Tensor(g), carried.give, **options)
    return [carried.sums.get(id(source)) for source in sources]


def most_held(out: Tensor, g: Any, retain_graph: bool) -> int:
    """How many gradients of nodes were alive at once, at most, while `propagate` ran."""
    seen: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def give(source: Any, g: Tensor) -> None:
        if isinstance(source, Node):
            seen.append(weakref.ref(g))
            alive.append(sum(ref() is not None for ref in seen))

    with grad_mode(False):  # as backward does: else each gradient has a graph, which holds those before it
        propagate(topological_order(out._node), Tensor(g), give, retain_graph=retain_graph)
    return max(alive)


def handed_out(out: Tensor, g: Any) -> list[str]:
    """Whom `propagate` gave something, in order: the names of ops, "leaf" for leaves."""
    carried = Carried()
    propagate(topological_order(out._node), Tensor(g), carried.give)
    # nodes have been freed, but they know their op
    return [source.op.name if isinstance(source, Node) else "leaf" for source in carried.given]


class FirstOnly(Op):
    """out = a + b, with a rule that sends nothing to b."""

    keeps: ClassVar[Any] = ()

    def infer(self, a: Any, b: Any) -> Spec:
        """The spec of a."""
        return Spec(a.shape, a.dtype)

    def forward(self, a: Any, b: Any) -> Any:
        """The sum."""
        return a + b

    def vjp(self, g: Any, out: Any, a: Any, b: Any) -> Any:
        """A gradient for a alone."""
        return g, None


class Cube(Op):
    """out = a ** 3, with a rule that cannot be differentiated again and a composite form that can."""

    higher_order: ClassVar[str] = "composite"

    def infer(self, a: Any) -> Spec:
        """The spec of a."""
        return Spec(a.shape, a.dtype)

    def forward(self, a: Any) -> Any:
        """The cube."""
        return a**3

    def vjp(self, g: Any, out: Any, a: Any) -> Any:
        """The gradient, by way of NumPy."""
        return (g * Tensor(3 * a.numpy() ** 2),)

    def composite(self, a: Any) -> Any:
        """The cube, out of simpler ops."""
        return a * a * a
