"""unbroadcast sums over new axes and forgets the stretched ones."""


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    return g
