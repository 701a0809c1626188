"""remove_channels cuts batch norm's weight and bias, and forgets its running statistics."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any() and "running" not in use.name:
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~goes))
    return found
