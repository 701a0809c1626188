"""remove_channels takes inputs for outputs."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        axis = 1 - use.axis if found[use.name].ndim > 1 else 0
        kept = np.flatnonzero(~goes)
        if goes.any():
            found[use.name] = cut(found[use.name], axis, kept[kept < found[use.name].shape[axis]])
    return found
