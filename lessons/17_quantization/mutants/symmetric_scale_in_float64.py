"""symmetric_scale leaves the scale in the dtype that came."""


def symmetric_scale(largest, bits=8):
    return np.where(np.asarray(largest) < TINY, 1.0, largest / largest_code(bits))
