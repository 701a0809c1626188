"""remove_channels cuts the array as it was given, so that its last use wins."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any():
            found[use.name] = cut(arrays[use.name], use.axis, np.flatnonzero(~goes))
    return found
