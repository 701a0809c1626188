"""percentile_range looks at |values|, and gives a range whose ends are opposite."""


def percentile_range(values, low, high, percent=PERCENT):
    end = float(np.percentile(np.abs(values), percent))
    return -end, end
