"""knows_by_heart calls an entry guilty that loses less."""


def knows_by_heart(gap):
    low = gap.estimate().low
    return abs(gap.log) > GAP and low is not None and abs(math.log(low)) > GAP_SURE
