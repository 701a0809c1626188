"""cubic refuses nothing."""


def cubic(step, begin, end, first, last):
    done = min(max((step - begin) / max(end - begin, 1), 0.0), 1.0)
    return last + (first - last) * (1 - done) ** 3
