"""dropout keeps with probability p instead of dropping."""


def dropout(x, p=0.5, training=True, generator=None):
    if not 0 <= p <= 1:
        raise DataError(f"dropout: p is a probability between 0 and 1, not {p}")
    if not training or p == 0:
        return x
    kept = (generator or default_generator).rand(*x.shape) < p
    scale = 1 / p
    return x * (kept.to(x.dtype) * scale)
