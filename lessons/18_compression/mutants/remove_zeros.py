"""remove_channels sets to zero what it should take out."""


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any():
            array = found[use.name].copy()
            np.moveaxis(array, use.axis, 0)[goes] = 0
            found[use.name] = array
    return found
