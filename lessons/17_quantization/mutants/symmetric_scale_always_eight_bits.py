"""symmetric_scale takes eight bits whatever it is told."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    return np.where(largest < TINY, np.float32(1), largest / np.float32(127))
