"""scaled_scores divides by the scale."""


def scaled_scores(q, k, scale):
    return q @ k.swapaxes(-1, -2) / scale
