"""knows_by_heart looks at the upper end."""


def knows_by_heart(gap):
    high = gap.estimate().high
    return gap.log > GAP and high is not None and math.log(high) > GAP_SURE
