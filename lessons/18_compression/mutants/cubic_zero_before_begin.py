"""cubic gives 0 before begin, whatever the first sparsity is."""


def cubic(step, begin, end, first, last):
    if not 0 <= begin < end or not 0 <= first <= last <= 1:
        raise CompressionError("no such schedule")

    if step < begin:
        return 0.0
    done = min((step - begin) / (end - begin), 1.0)
    return last + (first - last) * (1 - done) ** 3
