"""accumulate lets a leaf have a view of another tensor."""


def accumulate(leaf, g, taken):
    if leaf.grad is not None:
        g = leaf.grad + g
    elif id(g) in taken:
        g = g.clone()
    taken.add(id(g))
    leaf.grad = g
