"""Gradients: the walk backward through the recorded ops, switches for recording, and a numerical check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tinytorch.errors import GradientError, ShapeError
from tinytorch.ops.base import Ghost, Node, Op, epoch_of, registry, unchanged_since
from tinytorch.ops.context import grad_mode, state
from tinytorch.ops.spec import Array, Shape
from tinytorch.tensor import Tensor

_Source = Tensor | Node


def no_grad() -> AbstractContextManager[None]:
    """Ops inside the block are not recorded: for evaluation and for updates of parameters.

    >>> w = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """
    return grad_mode(False)


def enable_grad() -> AbstractContextManager[None]:
    """Ops inside the block are recorded, even inside of `no_grad`."""
    return grad_mode(True)


def backward(
    root: Tensor, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add d(root)/d(leaf) to `.grad` of each leaf; see `Tensor.backward`."""
    handed_out = set() if gradient is None else {id(gradient)}

    def accumulate(leaf: Tensor, g: Tensor) -> None:
        if leaf.grad is not None:
            g = leaf.grad + g
        elif g._base is not None or id(g) in handed_out:
            g = g.clone()  # two leaves, or a leaf and the caller, must not share one gradient
        handed_out.add(id(g))
        leaf.grad = g

    _walk(root, gradient, accumulate, retain_graph or create_graph, create_graph)


def grad(
    output: Tensor,
    inputs: Sequence[Tensor],
    gradient: Tensor | None = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(output)/d(input) of each input, None where output does not depend on it; `.grad` stays untouched.

    >>> x = Tensor([3.0], requires_grad=True)
    >>> (dx,) = grad((x**3).sum(), [x], create_graph=True)
    >>> grad(dx.sum(), [x])
    (Tensor([18.]),)
    """
    for t in inputs:
        if not t.requires_grad:
            raise GradientError(
                "grad: an input does not require a gradient. Set requires_grad=True before use."
            )
    return _grad(output, inputs, gradient, retain_graph or create_graph, create_graph)


def _grad(
    output: Tensor,
    inputs: Sequence[Tensor],
    gradient: Tensor | None,
    retain_graph: bool,
    create_graph: bool,
    within: bool = False,
) -> tuple[Tensor | None, ...]:
    found: dict[int, Tensor] = {}
    targets = {id(t._node) if t._node is not None else id(t) for t in inputs}

    def accumulate(source: _Source, g: Tensor) -> None:
        found[id(source)] = found[id(source)] + g if id(source) in found else g

    _walk(output, gradient, accumulate, retain_graph, create_graph, targets, within)
    return tuple(found.get(id(t._node) if t._node is not None else id(t)) for t in inputs)


def _source(t: Tensor | Ghost) -> Tensor | Node | None:
    """Where a gradient of `t` goes: the op that made it, or the leaf itself."""
    if not t.requires_grad:
        return None
    return t._node if t._node is not None else t  # type: ignore[return-value]  # a Ghost is never a leaf


def _walk(
    root: Tensor,
    gradient: Tensor | None,
    accumulate: Callable[[Any, Tensor], None],
    retain_graph: bool,
    create_graph: bool,
    targets: set[int] | None = None,
    within: bool = False,
) -> None:
    """Visit each node once, after all ops that used it; hand gradients of leaves (or targets) out.

    With `within`, the walk does not go on beyond targets.
    """
    g = _start(root, gradient)
    if root._node is None:
        if targets is None or id(root) in targets:
            accumulate(root, g)
        return
    edge = targets if within and targets else set()
    users = _count_users(root._node, edge)
    pending: dict[int, Tensor] = {id(root._node): g}
    ready = [root._node]
    here = state()
    outer = here.grad, here.path, here.backward
    here.grad, here.backward = create_graph, True
    try:
        while ready:
            node = ready.pop()
            arrived = pending.pop(id(node), None)
            if arrived is not None and targets is not None and id(node) in targets:
                accumulate(node, arrived)
            if id(node) in edge:
                continue
            here.path = node.path
            wanted = _gradients(node, arrived, create_graph) if arrived is not None else ()
            for position, t in enumerate(node.inputs):
                source = _source(t)
                if source is None:
                    continue
                g_in = _one(wanted[position], t.shape) if wanted else None
                if isinstance(source, Tensor):
                    if g_in is not None and (targets is None or id(source) in targets):
                        accumulate(source, g_in)
                    continue
                if g_in is not None:
                    key = id(source)
                    pending[key] = pending[key] + g_in if key in pending else g_in
                users[source] -= 1
                if users[source] == 0:
                    ready.append(source)
            if not retain_graph:
                node.free()
    finally:
        here.grad, here.path, here.backward = outer


def _start(root: Tensor, gradient: Tensor | None) -> Tensor:
    if not root.requires_grad:
        raise GradientError("backward: nothing here requires a gradient. Set requires_grad=True on a leaf.")
    if gradient is None:
        if root.size != 1:
            raise GradientError(
                f"backward: {root.shape} has {root.size} elements; only one can start without a gradient. "
                "Reduce it with .sum() or .mean(), or pass backward(gradient)."
            )
        return registry.make(np.ones(root.shape, root.dtype))
    if gradient.shape != root.shape:
        raise ShapeError(f"backward: gradient {gradient.shape} for a tensor of shape {root.shape}")
    return gradient.to(root.dtype)


def _count_users(root: Node, edge: set[int]) -> dict[Node, int]:
    """How many inputs of reachable nodes each node feeds; a loop, so that depth is no limit."""
    users: dict[Node, int] = {root: 0}
    stack = [root]
    while stack:
        node = stack.pop()
        if not node.inputs:
            raise GradientError(
                "backward: the graph was freed by an earlier backward. Pass retain_graph=True to the first."
            )
        for t in node.inputs if id(node) not in edge else ():
            source = t._node if t.requires_grad else None
            if source is not None:
                if source not in users:
                    users[source] = 0
                    stack.append(source)
                users[source] += 1
    return users


def _gradients(node: Node, g: Tensor, create_graph: bool) -> Sequence[Any]:
    """The op's gradients for its inputs: Tensors, functions, or None."""
    op: Op = node.op
    if not unchanged_since(node):
        _refuse_changed_inputs(node)
    if create_graph and op.higher_order == "composite":
        return _through_composite(node, g)
    out: Tensor = g  # has the shape and dtype of the output, which is all that is read of one not kept
    if node.out is not None:
        out = registry.make(node.out)
        out._node, out.requires_grad = node, True
    if node.aux:
        return op.vjp(g, (out, *map(registry.make, node.aux)), *node.inputs)
    return op.vjp(g, out, *node.inputs)


def _refuse_changed_inputs(node: Node) -> None:
    for position, t in enumerate(node.inputs):
        read = node.op.keeps is None or position in node.op.keeps
        if read and isinstance(t, Tensor) and epoch_of(t) > node.epoch:
            raise GradientError(
                f"backward: an input of {node.op.name}, {t.shape}, was changed by assign_ after the op "
                "used it. Call backward first, or use the op on a clone()."
            )


def _through_composite(node: Node, g: Tensor) -> list[Tensor | None]:
    """Gradients that can be differentiated again, by way of the op's composite form."""
    inputs: list[Tensor] = []
    for t in node.inputs:
        assert isinstance(t, Tensor), f"{node.op.name} must keep its inputs for its composite form"
        inputs.append(t)
    with enable_grad():
        # each input enters through a node of its own, at which the inner walk stops
        entries = [t.clone() if t.requires_grad else t for t in inputs]
        out = node.op.composite(*entries)
        wanted = [t for t in entries if t.requires_grad]
        found = iter(_grad(out, wanted, g, True, True, within=True))
    return [next(found) if t.requires_grad else None for t in entries]


def _one(gradient: Any, shape: Shape) -> Tensor | None:
    """A gradient, computed if it was put off, summed over the axes along which its input was broadcast."""
    g = gradient() if callable(gradient) else gradient
    if g is None or g.shape == shape:
        return g  # type: ignore[no-any-return]
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1
    )
    return g.sum(axes).reshape(shape)  # type: ignore[no-any-return]


registry.backward = backward


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Compare gradients with central differences in float64, for one random cotangent.

    Raises GradientError with the worst element where they differ by more than atol + rtol * |numerical|.

    >>> gradcheck(lambda x: (x * x).tanh(), [Tensor([0.5, -1.0])])
    True
    """
    rng = np.random.default_rng(seed)
    leaves = [Tensor(t.data, "float64") if t.dtype.kind == "f" else t for t in inputs]
    wanted = [t.requires_grad_() for t in leaves if t.dtype.kind == "f"]
    out = function(*leaves)
    cotangent = rng.standard_normal(out.shape)
    found = grad(out, wanted, Tensor(cotangent))
    for number, (leaf, g) in enumerate(zip(wanted, found, strict=True)):
        expected = _numerical(function, leaves, leaf, cotangent, eps)
        got = np.zeros(leaf.shape) if g is None else g.numpy()
        worst = np.abs(got - expected) - rtol * np.abs(expected)
        if worst.size and not worst.max() <= atol:
            at = np.unravel_index(np.argmax(np.nan_to_num(worst, nan=np.inf)), worst.shape)
            raise GradientError(
                f"gradcheck: input {number} at {tuple(map(int, at))}: backward gives {got[at]:.9g}, "
                f"differences give {expected[at]:.9g}"
            )
    return True


def _numerical(
    function: Callable[..., Tensor], leaves: Sequence[Tensor], leaf: Tensor, cotangent: Array, eps: float
) -> Array:
    start = leaf.numpy()
    result = np.zeros(start.shape)
    for at in np.ndindex(start.shape):
        sides = []
        for step in (eps, -eps):
            moved = start.copy()
            moved[at] += step
            leaf.assign_(Tensor(moved))
            sides.append(float((function(*leaves).numpy() * cotangent).sum()))
        result[at] = (sides[0] - sides[1]) / (2 * eps)
    leaf.assign_(Tensor(start))
    return result
