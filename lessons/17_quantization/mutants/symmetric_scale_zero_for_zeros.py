"""symmetric_scale gives a channel of zeros the scale 0."""


def symmetric_scale(largest, bits=8):
    return np.asarray(np.asarray(largest, np.float32) / np.float32(largest_code(bits)))
