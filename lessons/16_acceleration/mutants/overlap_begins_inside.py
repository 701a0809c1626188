"""overlap asks only whether the second begins within the first."""


def overlap(a, b):
    return a.first <= b.first <= a.last
