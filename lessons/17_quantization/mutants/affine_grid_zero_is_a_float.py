"""affine_grid leaves the zero point where it falls, between two codes."""


def affine_grid(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.float32)
    scale = (high - low) / (most - least)
    return np.array(scale, np.float32), np.array(least - low / scale, np.float32)
