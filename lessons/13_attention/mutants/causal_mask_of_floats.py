"""causal_mask gives floats, which ~ cannot invert."""


def causal_mask(queries, keys):
    return np.tri(queries, keys, keys - queries)
