"""overlap lets a life begin at the step at which another ends."""


def overlap(a, b):
    return a.first < b.last and b.first < a.last
