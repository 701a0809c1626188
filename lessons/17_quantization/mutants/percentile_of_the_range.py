"""percentile_range cuts parts off the range where it should count values."""


def percentile_range(values, low, high, percent=PERCENT):
    rest = (100 - percent) / 200 * (high - low)
    return low + rest, high - rest
