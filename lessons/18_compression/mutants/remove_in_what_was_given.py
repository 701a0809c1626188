"""remove_channels changes the mapping that it was given."""


def remove_channels(arrays, uses, removed):
    found = arrays
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any():
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~goes))
    return found
