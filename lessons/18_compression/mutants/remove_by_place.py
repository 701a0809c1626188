"""remove_channels takes the numbers of channels for places along the axis."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        places = np.flatnonzero(removed)
        places = places[places < found[use.name].shape[use.axis]]
        if places.size:
            found[use.name] = np.delete(found[use.name], places, use.axis)
    return found
