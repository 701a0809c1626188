"""remove_channels cuts what makes channels, and not what reads them."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any() and use.axis == 0:
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~goes))
    return found
