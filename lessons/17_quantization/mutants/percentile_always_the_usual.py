"""percentile_range does not look at percent."""


def percentile_range(values, low, high, percent=PERCENT):
    rest = (100 - PERCENT) / 2
    below, above = np.percentile(values, [rest, 100 - rest])
    return float(below), float(above)
