"""accumulate lets two leaves have one gradient."""


def accumulate(leaf, g, taken):
    if leaf.grad is not None:
        g = leaf.grad + g
    elif g._base is not None:
        g = g.clone()
    taken.add(id(g))
    leaf.grad = g
