"""pick makes likely tokens likelier."""


def pick(p, u):
    ends = np.cumsum(p * p)
    return int(min(np.searchsorted(ends, u * ends[-1], side="right"), np.flatnonzero(p)[-1]))
