"""pick lays parts in the order of their size."""


def pick(p, u):
    order = np.argsort(-p, kind="stable")
    ends = np.cumsum(p[order])
    return int(order[min(np.searchsorted(ends, u * ends[-1], side="right"), np.flatnonzero(p[order])[-1])])
