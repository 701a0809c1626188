"""pick takes the token behind."""


def pick(p, u):
    ends = np.cumsum(p)
    return int(min(1 + np.searchsorted(ends, u * ends[-1], side="right"), np.flatnonzero(p)[-1]))
