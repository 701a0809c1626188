"""scaled_scores scales the queries themselves."""


def scaled_scores(q, k, scale):
    q *= scale
    return q @ k.swapaxes(-1, -2)
