"""unbroadcast sums over stretched axes and forgets the new ones."""


def unbroadcast(g, shape):
    lead = g.ndim - len(shape)
    for i, n in enumerate(shape):
        if n == 1:
            g = g.sum(lead + i, keepdims=True)
    return g
