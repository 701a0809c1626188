"""remove_channels gives only the arrays that have uses."""


def remove_channels(arrays, uses, removed):
    found = {}
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        source = found.get(use.name, arrays[use.name])
        found[use.name] = cut(source, use.axis, np.flatnonzero(~goes))
    return found
