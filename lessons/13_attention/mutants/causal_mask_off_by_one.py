"""causal_mask hides each query's own position."""


def causal_mask(queries, keys):
    return np.arange(keys) < np.arange(queries)[:, None] + keys - queries
