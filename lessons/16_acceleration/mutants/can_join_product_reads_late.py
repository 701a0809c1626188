"""can_join puts in front a product that reads what the other group makes."""


def can_join(chains, group, other):
    at, both = other.calls[-1], {*group.calls, *other.calls}
    if group.closed or other.closed or group.shape != other.shape:
        return False
    if set(group.calls) & set(other.calls):
        return False
    if group.anchored and other.anchored:
        return False
    return may_wait(chains, both, at) and not sees_itself(chains, both)
