"""percentile_range takes percent for a share, and cuts off next to nothing."""


def percentile_range(values, low, high, percent=PERCENT):
    rest = (1 - percent / 100) / 2
    below, above = np.percentile(values, [rest, 100 - rest])
    return float(below), float(above)
