"""knows_by_heart takes a small gap that is certain for proof."""


def knows_by_heart(gap):
    low = gap.estimate().low
    return low is not None and math.log(low) > GAP_SURE
