"""causal_mask lets a query see the keys from its own position on, not up to it."""


def causal_mask(queries, keys):
    return np.tri(queries, keys, keys - queries, dtype=bool)[::-1, ::-1]
