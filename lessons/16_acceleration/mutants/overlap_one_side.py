"""overlap looks at one end only."""


def overlap(a, b):
    return a.first <= b.last
