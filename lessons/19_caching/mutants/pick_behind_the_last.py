"""pick runs out of the tokens at the end of all parts."""


def pick(p, u):
    ends = np.cumsum(p)
    return int(np.searchsorted(ends, u * ends[-1], side="right"))
