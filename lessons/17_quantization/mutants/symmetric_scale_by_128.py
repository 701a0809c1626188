"""symmetric_scale counts the code -128 as one that is used."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    return np.where(largest < TINY, np.float32(1), largest / np.float32(2 ** (bits - 1)))
