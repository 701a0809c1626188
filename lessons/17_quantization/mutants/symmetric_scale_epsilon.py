"""symmetric_scale adds a small number to all, so that none is divided by 0."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    return (largest + np.float32(1e-8)) / np.float32(largest_code(bits))
