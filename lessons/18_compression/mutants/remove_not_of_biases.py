"""remove_channels leaves biases as they are."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any() and not use.name.endswith("bias"):
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~goes))
    return found
