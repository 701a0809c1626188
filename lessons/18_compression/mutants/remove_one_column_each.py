"""remove_channels takes a channel's number for the column that reads it, also after a flatten."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        which = np.unique(use.channels[use.channels >= 0])
        places = np.flatnonzero(removed[which])
        if places.size:
            found[use.name] = np.delete(found[use.name], places, use.axis)
    return found
