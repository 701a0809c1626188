"""affine_grid lets each range begin at 0, as if all inputs came out of a ReLU."""


def affine_grid(low, high, bits=8):
    least = -(2 ** (bits - 1))
    high = max(high, 0.0)
    if high < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    return np.array(high / (2**bits - 1), np.float32), np.array(least, np.int32)
