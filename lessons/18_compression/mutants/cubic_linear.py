"""cubic goes in a straight line."""


def cubic(step, begin, end, first, last):
    if not 0 <= begin < end or not 0 <= first <= last <= 1:
        raise CompressionError("no such schedule")

    done = min(max((step - begin) / (end - begin), 0.0), 1.0)
    return first + (last - first) * done
