"""The walk with an explicit stack of nodes and what is left of their inputs."""

from contextlib import contextmanager

import numpy as np

from tinytorch.errors import GradientError


def unbroadcast(g, shape):
    full = (1,) * (g.ndim - len(shape)) + tuple(shape)
    axes = tuple(i for i in range(g.ndim) if full[i] == 1)
    return g.sum(axes, keepdims=True).reshape(shape)


def topological_order(root, edge=frozenset()):
    def behind(node):
        if not node.inputs:
            raise GradientError(
                "Nothing is left of this graph. Pass retain_graph=True to the backward before."
            )
        return iter(() if node in edge else [t._node for t in node.inputs if t._node])

    order, seen = [], {root}
    stack = [(root, behind(root))]
    while stack:
        node, rest = stack[-1]
        for maker in rest:
            if maker not in seen:
                seen.add(maker)
                stack.append((maker, behind(maker)))
                break
        else:
            order.insert(0, node)
            stack.pop()
    return order


def propagate(order, gradient, give, retain_graph=False, create_graph=False):
    sums = dict.fromkeys(order)
    sums[order[0]] = gradient
    for node in order:
        here, sums[node] = sums[node], None
        if here is None:
            if not retain_graph:
                node.free()
            continue
        for source, g in list(input_gradients(node, here, create_graph)):
            if isinstance(source, Tensor):
                give(source, g)
            elif sums[source] is None:
                sums[source] = g
            else:
                sums[source] = g + sums[source]
        give(node, here)
        if not retain_graph:
            node.free()


def accumulate(leaf, g, taken):
    if leaf.grad is None:
        is_shared = id(g) in taken or g._base is not None
        leaf.grad = g.clone() if is_shared else g
    else:
        leaf.grad = g + leaf.grad
    taken |= {id(leaf.grad)}


def numerical_gradient(function, x, eps=1e-6):
    moved = x.copy()
    result = np.empty_like(x)
    for at in np.ndindex(x.shape):
        old = moved[at]
        moved[at] = old + eps
        above = function(moved)
        moved[at] = old - eps
        below = function(moved)
        moved[at] = old
        result[at] = 0.5 * (above - below) / eps
    return result


@contextmanager
def off():
    here = state()
    before, here.grad = here.grad, False
    try:
        yield
    finally:
        here.grad = before


def no_grad():
    return off()
