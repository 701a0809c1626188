"""unbroadcast keeps the first copy's gradient instead of the sum."""


def unbroadcast(g, shape):
    lead = g.ndim - len(shape)
    g = g[(0,) * lead] if lead else g
    return g[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)] if shape else g
