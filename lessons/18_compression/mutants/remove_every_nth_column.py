"""remove_channels takes columns after a flatten as if positions came before channels."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        which = np.unique(use.channels[use.channels >= 0])
        if removed[which].any():
            size = found[use.name].shape[use.axis]
            gone = np.resize(removed[which], size)
            if (use.channels < 0).any() or len(which) == size:
                gone = (use.channels >= 0) & removed[use.channels]
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~gone))
    return found
