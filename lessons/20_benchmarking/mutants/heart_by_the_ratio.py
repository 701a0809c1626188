"""knows_by_heart compares ratios with what is about logarithms."""


def knows_by_heart(gap):
    low = gap.estimate().low
    return gap.value > GAP and low is not None and low > GAP_SURE
