"""Gradients: the walk backward through the recorded ops, switches for recording, and a numerical check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np

from tinytorch.errors import GradientError, ShapeError
from tinytorch.ops.base import Node, Op, epoch_of, registry, unchanged_since
from tinytorch.ops.context import context, grad_mode, state
from tinytorch.ops.spec import Array, Shape
from tinytorch.tensor import Tensor

Source: TypeAlias = Tensor | Node
"""Where a gradient goes: a leaf, or the node of the op that made the tensor."""
Give: TypeAlias = Callable[[Any, Tensor], None]
_NOWHERE: frozenset[Node] = frozenset()


def no_grad() -> AbstractContextManager[None]:
    """Ops inside the block are not recorded: for evaluation and for updates of parameters.

    Recording is `state().grad` of this thread. The end of the block puts back what was there before it,
    also when an error ends it, and blocks nest: inside `enable_grad` ops are recorded again. The package
    has `grad_mode(enabled)`, a context manager that does this for both.

    >>> w = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """
    return grad_mode(False)


def enable_grad() -> AbstractContextManager[None]:
    """Ops inside the block are recorded, even inside of `no_grad`."""
    return grad_mode(True)


# ---------------------------------------------------------------- backward and grad


def backward(
    root: Tensor, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add d(root)/d(leaf) to `.grad` of each leaf; see `Tensor.backward`."""
    taken = set() if gradient is None else {id(gradient)}

    def give(source: Source, g: Tensor) -> None:
        if isinstance(source, Tensor):
            accumulate(source, g, taken)

    _walk(root, gradient, give, retain_graph or create_graph, create_graph)


def accumulate(leaf: Tensor, g: Tensor, taken: set[int]) -> None:
    """Add `g`, of the leaf's shape, to `leaf.grad`, or make it that where `leaf.grad` is still None.

    The sum is a new tensor: whoever kept the old `leaf.grad` keeps its values. A leaf's gradient is its
    own, since a program may change it in place. So a first `g` is cloned if someone else holds it too:
    if `id(g)` is in `taken`, or if it is a view of another tensor (`g._base` is not None).
    `taken` holds the ids of the gradients handed out so far; that of the new `leaf.grad` is added to it.
    """
    if leaf.grad is not None:
        g = leaf.grad + g
    elif g._base is not None or id(g) in taken:
        g = g.clone()
    taken.add(id(g))
    leaf.grad = g


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
    edge: Set[Node] = _NOWHERE,
) -> tuple[Tensor | None, ...]:
    targets = [t if t._node is None else t._node for t in inputs]
    wanted, found = {id(source) for source in targets}, dict[int, Tensor]()

    def give(source: Source, g: Tensor) -> None:
        key = id(source)
        if key in wanted:
            found[key] = found[key] + g if key in found else g

    _walk(output, gradient, give, retain_graph, create_graph, edge)
    return tuple(found.get(id(source)) for source in targets)


# ---------------------------------------------------------------- the walk


def _walk(
    root: Tensor,
    gradient: Tensor | None,
    give: Give,
    retain_graph: bool,
    create_graph: bool,
    edge: Set[Node] = _NOWHERE,
) -> None:
    """Give each leaf and node that root rests on its gradient, with the thread's state set for backward."""
    g = _start(root, gradient)
    if root._node is None:
        give(root, g)
        return
    order = topological_order(root._node, edge)
    here = state()
    outer = here.grad, here.path, here.backward
    here.grad, here.backward = create_graph, True
    try:
        propagate(order, g, give, retain_graph, create_graph)
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


def topological_order(root: Node, edge: Set[Node] = frozenset()) -> list[Node]:
    """Every node that root rests on, root first: each once, and after all the nodes that use its output.

    `node.inputs` are the tensors that an op was called with; `t._node` is the node that made `t`, None for
    a leaf. Nodes in `edge` are listed, but not what lies behind them. Graphs are deep: use a loop, for
    Python refuses some thousand calls inside each other. And look at each node once: a graph of 40 nodes
    can hold 2^40 paths.

    Raises GradientError, which mentions retain_graph, at a node without inputs: one that an earlier
    backward freed.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if node is None:  # all that the node below uses is in the list: reversed, it has users first
            order.append(stack.pop())
        elif node not in seen:
            seen.add(node)
            stack += (node, None)
            if not node.inputs:
                raise GradientError(
                    "backward: an earlier backward freed the graph. Pass retain_graph=True to the first."
                )
            if node not in edge:
                for t in reversed(node.inputs):  # so that the last input's gradient is followed first
                    source = t._node
                    if source is not None and source not in seen:
                        stack.append(source)
    order.reverse()
    return order


def propagate(
    order: Sequence[Node],
    gradient: Tensor,
    give: Give,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Carry `gradient`, that of the output of `order[0]`, back through nodes in topological order.

    For each node in turn: what its users sent it, summed, is the gradient of its output. Hand it out by
    `give(node, g)`; ask `input_gradients(node, g, create_graph)` for pairs (source, gradient of that
    input). A source that is a leaf (a Tensor) is given its gradient at once, by `give(leaf, g)`, once for
    each use. For a source that is a Node, gradients wait until its turn; where several arrive, they add
    up (with `+`: they are Tensors). A node that nothing arrived at is passed over.

    Unless `retain_graph`, let each node go, passed over or not, after its turn: `node.free()`. Do not
    hold on to gradients that have been used.
    """
    pending = {order[0]: gradient}
    for node in order:
        arrived = pending.pop(node, None)
        if arrived is not None:
            give(node, arrived)
            for source, g in input_gradients(node, arrived, create_graph):
                if isinstance(source, Node):
                    pending[source] = pending[source] + g if source in pending else g
                else:
                    give(source, g)
        if not retain_graph:
            node.free()


def input_gradients(node: Node, g: Tensor, create_graph: bool = False) -> Iterator[tuple[Source, Tensor]]:
    """Pairs (source, gradient) for those inputs of a node that want one and get one, by the op's rule.

    The source is the Node that made the input, or the input itself if it is a leaf. Gradients that the
    rule puts off (functions) are computed only here, and each has the shape of its input.
    """
    context.state.path = node.path
    for t, rule in zip(node.inputs, _apply_rule(node, g, create_graph), strict=True):
        if t.requires_grad:
            found = rule() if callable(rule) else rule
            if found is not None:
                if found.shape != t.shape:
                    found = unbroadcast(found, t.shape)
                yield t._node or t, found  # type: ignore[misc]  # what stands for a leaf is the leaf itself


def _apply_rule(node: Node, g: Tensor, create_graph: bool) -> Sequence[Any]:
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
    made: Any = (out, *map(registry.make, node.aux)) if node.aux else out
    found: Any = op.vjp(g, made, *node.inputs)
    if not isinstance(found, (tuple, list)) or len(found) != len(node.inputs):
        _refuse_gradients(node, found)
    return found  # type: ignore[no-any-return]


def unbroadcast(g: Tensor, shape: Shape) -> Tensor:
    """The gradient of an input of this `shape` from `g`, that of the shape it was broadcast to.

    Broadcasting added axes in front, and stretched axes of size 1. Each copy of an element adds to its
    gradient, so g is summed over those axes; the result has exactly `shape`. It is made by ops on g, as
    all gradients are. Called only where the shapes differ.

    >>> unbroadcast(Tensor([[1.0, 2.0], [3.0, 4.0]]), (2,))
    Tensor([4., 6.])
    """
    lead = g.ndim - len(shape)
    stretched = [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    return g.sum((*range(lead), *stretched)).reshape(shape)


def _refuse_gradients(node: Node, found: object) -> None:
    given = f"{len(found)} of them" if isinstance(found, tuple | list) else type(found).__name__
    raise GradientError(
        f"{type(node.op).__name__}.vjp gives a tuple of gradients (or None), one for each input: expected "
        f"{len(node.inputs)}, got {given}."
    )


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
        edge = {t._node for t in wanted if t._node}
        found = iter(_grad(out, wanted, g, True, True, edge))
    return [next(found) if t.requires_grad else None for t in entries]


registry.backward = backward


# ---------------------------------------------------------------- the numerical check


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
    places = [i for i, t in enumerate(leaves) if t.dtype.kind == "f"]
    wanted = [leaves[i].requires_grad_() for i in places]
    out = function(*leaves)
    cotangent = rng.standard_normal(out.shape)
    found = grad(out, wanted, Tensor(cotangent))
    for number, (place, g) in enumerate(zip(places, found, strict=True)):

        def along(moved: Array, place: int = place) -> float:
            tensor = Tensor(moved, requires_grad=True)
            out = function(*leaves[:place], tensor, *leaves[place + 1 :])
            return float((out.numpy() * cotangent).sum())

        expected = numerical_gradient(along, leaves[place].numpy(), eps)
        got = np.zeros(expected.shape) if g is None else g.numpy()
        worst = np.abs(got - expected) - rtol * np.abs(expected)
        if worst.size and not worst.max() <= atol:
            at = np.unravel_index(np.argmax(np.nan_to_num(worst, nan=np.inf)), worst.shape)
            raise GradientError(
                f"gradcheck: input {number} at {tuple(map(int, at))}: backward gives {got[at]:.9g}, "
                f"differences give {expected[at]:.9g}"
            )
    return True


def numerical_gradient(function: Callable[[Array], float], x: Array, eps: float = 1e-6) -> Array:
    """The gradient of a function of an array that gives a number, by central differences.

    x: a float64 array of any shape, left as it is; the result is an array of its shape. Element by
    element: (f(x with that element eps larger) - f(x with it eps smaller)) / (2 eps).

    >>> numerical_gradient(lambda x: float((x**2).sum()), np.array([1.0, 3.0])).round(3)
    array([2., 6.])
    """
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[at] += eps
        below[at] -= eps
        result[at] = (function(above) - function(below)) / (2 * eps)
    return result
