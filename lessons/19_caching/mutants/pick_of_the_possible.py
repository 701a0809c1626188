"""pick numbers only the tokens that are possible."""


def pick(p, u):
    ends = np.cumsum(p[p > 0])
    return int(min(np.searchsorted(ends, u * ends[-1], side="right"), len(ends) - 1))
