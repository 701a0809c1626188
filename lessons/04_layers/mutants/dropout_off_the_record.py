"""dropout multiplies in NumPy, so that no gradient comes back."""


def dropout(x, p=0.5, training=True, generator=None):
    if not 0 <= p <= 1:
        raise DataError(f"dropout: p is a probability between 0 and 1, not {p}")
    if not training or p == 0:
        return x
    kept = (generator or default_generator).rand(*x.shape).data >= p
    scale = 1 / (1 - p) if p < 1 else 0.0
    return Tensor((x.data * kept * scale).astype(x.dtype))
