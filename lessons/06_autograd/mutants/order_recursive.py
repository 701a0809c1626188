"""topological_order calls itself, and fails on deep graphs."""

from tinytorch.errors import GradientError


def topological_order(root, edge=frozenset()):
    order, seen = [], set()

    def visit(node):
        if node in seen:
            return
        seen.add(node)
        if not node.inputs:
            raise GradientError("freed: pass retain_graph=True")
        for t in node.inputs if node not in edge else ():
            if t._node is not None:
                visit(t._node)
        order.append(node)

    visit(root)
    return order[::-1]
