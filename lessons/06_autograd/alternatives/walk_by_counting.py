"""The walk with users counted first: a node is next when the last of them is done."""

from collections import Counter, deque

import numpy as np

from tinytorch.errors import GradientError


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for axis, size in enumerate(shape):
        if size == 1 and g.shape[axis] != 1:
            g = g.sum(axis, keepdims=True)
    return g


def makers(node, edge):
    if not node.inputs:
        raise GradientError("This graph was freed: pass retain_graph=True to the first backward.")
    return [] if node in edge else [t._node for t in node.inputs if t._node is not None]


def topological_order(root, edge=frozenset()):
    users, queue = Counter(), deque([root])
    found = {root}
    while queue:
        for maker in makers(queue.popleft(), edge):
            users[maker] += 1
            if maker not in found:
                found.add(maker)
                queue.append(maker)
    order = [root]
    for node in order:
        for maker in makers(node, edge):
            users[maker] -= 1
            if not users[maker]:
                order.append(maker)
    return order


def propagate(order, gradient, give, retain_graph=False, create_graph=False):
    waiting = {id(node): [] for node in order}
    waiting[id(order[0])].append(gradient)
    for node in order:
        total = None
        for g in waiting.pop(id(node)):
            total = g if total is None else total + g
        if total is not None:
            give(node, total)
            for source, g in input_gradients(node, total, create_graph):
                if id(source) in waiting:
                    waiting[id(source)].append(g)
                else:
                    give(source, g)
        if not retain_graph:
            node.free()


def accumulate(leaf, g, taken):
    leaf.grad = g.clone() if leaf.grad is None else leaf.grad + g
    taken.add(id(leaf.grad))


def numerical_gradient(function, x, eps=1e-6):
    flat = x.ravel()
    found = []
    for i in range(flat.size):
        step = np.zeros(flat.size)
        step[i] = eps
        step = step.reshape(x.shape)
        found.append((function(x + step) - function(x - step)) / eps / 2)
    return np.array(found).reshape(x.shape)


class Off(grad_mode):
    def __init__(self):
        super().__init__(enabled=False)


def no_grad():
    return Off()
