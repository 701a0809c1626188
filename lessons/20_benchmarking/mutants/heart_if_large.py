"""knows_by_heart believes any large gap."""


def knows_by_heart(gap):
    return gap.log > GAP
