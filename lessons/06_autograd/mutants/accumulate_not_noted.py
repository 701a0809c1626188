"""accumulate does not note whom it gave what."""


def accumulate(leaf, g, taken):
    if leaf.grad is not None:
        g = leaf.grad + g
    elif g._base is not None or id(g) in taken:
        g = g.clone()
    leaf.grad = g
