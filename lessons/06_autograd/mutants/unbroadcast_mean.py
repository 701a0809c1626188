"""unbroadcast takes the mean of the copies' gradients."""


def unbroadcast(g, shape):
    lead = g.ndim - len(shape)
    axes = [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    return g.mean((*range(lead), *axes)).reshape(shape)
