"""topological_order forgets to turn the list around."""

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
            for t in node.inputs if node not in edge else ():
                if t._node is not None:
                    stack.append((t._node, False))
    return order
