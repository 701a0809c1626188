"""percentile_range keeps its range within low .. high."""


def percentile_range(values, low, high, percent=PERCENT):
    rest = (100 - percent) / 2
    below, above = np.percentile(values, [rest, 100 - rest])
    return max(float(below), low), min(float(above), high)
