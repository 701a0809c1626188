"""percentile_range cuts all of the rest off at each side."""


def percentile_range(values, low, high, percent=PERCENT):
    below, above = np.percentile(values, [100 - percent, percent])
    return float(below), float(above)
