"""knows_by_heart wants it to be surely as large as it must be."""


def knows_by_heart(gap):
    low = gap.estimate().low
    return low is not None and math.log(low) > GAP
