"""pick gives the last token, possible or not, at the end of all parts."""


def pick(p, u):
    ends = np.cumsum(p)
    return int(min(np.searchsorted(ends, u * ends[-1], side="right"), len(p) - 1))
