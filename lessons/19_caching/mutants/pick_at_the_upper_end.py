"""pick gives a border to the token below it."""


def pick(p, u):
    ends = np.cumsum(p)
    return int(min(np.searchsorted(ends, u * ends[-1], side="left"), np.flatnonzero(p)[-1]))
