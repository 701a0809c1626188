"""percentile_range cuts off at the upper end only."""


def percentile_range(values, low, high, percent=PERCENT):
    return low, float(np.percentile(values, percent))
