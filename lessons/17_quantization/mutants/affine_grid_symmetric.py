"""affine_grid makes a symmetric grid of the larger end."""


def affine_grid(low, high, bits=8):
    largest = max(abs(low), abs(high))
    if largest < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    return np.array(largest / (2 ** (bits - 1) - 1), np.float32), np.array(0, np.int32)
