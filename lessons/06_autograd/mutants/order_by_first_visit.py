"""topological_order lists nodes as they are first met: breadth first."""

from tinytorch.errors import GradientError


def topological_order(root, edge=frozenset()):
    order = [root]
    for node in order:
        if not node.inputs:
            raise GradientError("freed: pass retain_graph=True")
        for t in node.inputs if node not in edge else ():
            if t._node is not None and t._node not in order:
                order.append(t._node)
    return order
