"""cubic runs on after end."""


def cubic(step, begin, end, first, last):
    if not 0 <= begin < end or not 0 <= first <= last <= 1:
        raise CompressionError("no such schedule")

    done = max((step - begin) / (end - begin), 0.0)
    return last + (first - last) * (1 - done) ** 3
