"""topological_order does not notice a freed graph."""


def topological_order(root, edge=frozenset()):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            for t in node.inputs if node not in edge else ():
                if t._node is not None:
                    stack.append((t._node, False))
    return order[::-1]
