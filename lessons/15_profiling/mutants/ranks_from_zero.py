"""order_ranks gives an upper rank that is one too low."""


def order_ranks(size, q, confidence=0.95):
    from scipy.stats import binom

    tail = (1 - confidence) / 2
    return int(binom.ppf(tail, size, q)), int(binom.ppf(1 - tail, size, q))
