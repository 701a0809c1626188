"""remove_channels lets -1, which is no channel, pick the last one."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = removed[use.channels]
        if goes.any():
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~goes))
    return found
