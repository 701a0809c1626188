"""best_gap thinks that blocks never lie over each other."""


def best_gap(taken, size):
    best, smallest, end = -1, 0, 0
    for begin, after in taken:
        gap = begin - end
        if gap >= size and (best < 0 or gap < smallest):
            best, smallest = end, gap
        end = after
    return end if best < 0 else best
