"""order_ranks leaves the whole risk on each side, not half of it."""


def order_ranks(size, q, confidence=0.95):
    from scipy.stats import binom

    tail = 1 - confidence
    return int(binom.ppf(tail, size, q)), int(binom.ppf(1 - tail, size, q)) + 1
