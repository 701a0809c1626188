"""scaled_scores does not scale."""


def scaled_scores(q, k, scale):
    return q @ k.swapaxes(-1, -2)
