"""topological_order ignores the edge."""

from tinytorch.errors import GradientError


def topological_order(root, edge=frozenset()):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            if not node.inputs:
                raise GradientError("freed: pass retain_graph=True")
            stack.append((node, True))
            stack.extend((t._node, False) for t in node.inputs if t._node is not None)
    return order[::-1]
