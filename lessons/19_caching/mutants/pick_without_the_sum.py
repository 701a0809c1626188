"""pick takes the sum to be 1."""


def pick(p, u):
    ends = np.cumsum(p)
    return int(min(np.searchsorted(ends, u, side="right"), np.flatnonzero(p)[-1]))
