"""best_gap wants a gap that is larger than the buffer."""


def best_gap(taken, size):
    best, smallest, end = -1, 0, 0
    for begin, after in taken:
        gap = begin - end
        if gap > size and (best < 0 or gap < smallest):
            best, smallest = end, gap
        end = max(end, after)
    return end if best < 0 else best
