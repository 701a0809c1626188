"""pick draws each token that is possible alike."""


def pick(p, u):
    possible = np.flatnonzero(p)
    return int(possible[min(int(u * len(possible)), len(possible) - 1)])
