"""knows_by_heart takes any gap that is not chance."""


def knows_by_heart(gap):
    low = gap.estimate().low
    return gap.log > 0 and low is not None and low > 1
