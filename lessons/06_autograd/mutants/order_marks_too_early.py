"""topological_order marks a node as seen when it is put on the stack, not when it is taken."""

from tinytorch.errors import GradientError


def topological_order(root, edge=frozenset()):
    order, seen, stack = [], {root}, [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        if not node.inputs:
            raise GradientError("freed: pass retain_graph=True")
        stack.append((node, True))
        for t in node.inputs if node not in edge else ():
            if t._node is not None and t._node not in seen:
                seen.add(t._node)
                stack.append((t._node, False))
    return order[::-1]
