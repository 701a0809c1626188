"""remove_channels cuts rows of the array that reads channels, not its columns."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any():
            found[use.name] = cut(found[use.name], 0, np.flatnonzero(~goes[: len(found[use.name])]))
    return found
