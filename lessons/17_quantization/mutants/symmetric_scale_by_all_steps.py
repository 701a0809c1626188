"""symmetric_scale shares twice the largest number among all 255 steps."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    return np.where(largest < TINY, np.float32(1), 2 * largest / np.float32(2**bits - 1))
