"""percentile_range takes a value that is there, not one between two."""


def percentile_range(values, low, high, percent=PERCENT):
    rest = (100 - percent) / 2
    below, above = np.percentile(values, [rest, 100 - rest], method="nearest")
    return float(below), float(above)
