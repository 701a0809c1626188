"""can_join asks the first group's product only for what it reads."""


def can_join(chains, group, other):
    at, both = other.calls[-1], {*group.calls, *other.calls}
    if group.closed or other.closed or group.shape != other.shape:
        return False
    if set(group.calls) & set(other.calls):
        return False
    if group.anchored and other.anchored:
        return False
    for product, rest in ((group, other),):
        if product.anchored:
            read = chains.graph.calls[product.calls[0]].inputs
            if any(chains.maker(v) in rest.calls for v in read):
                return False
    return may_wait(chains, both, at) and not sees_itself(chains, both)
