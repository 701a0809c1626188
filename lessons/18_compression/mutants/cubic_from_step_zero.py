"""cubic counts from step 0, not from begin."""


def cubic(step, begin, end, first, last):
    if not 0 <= begin < end or not 0 <= first <= last <= 1:
        raise CompressionError("no such schedule")

    done = min(max(step / end, 0.0), 1.0) if step >= begin else 0.0
    return last + (first - last) * (1 - done) ** 3
