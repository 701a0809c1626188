"""affine_grid cuts the zero point to a whole number where it should round."""


def affine_grid(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    scale = (high - low) / (most - least)
    zero = min(max(int(least - low / scale), least), most)
    return np.array(scale, np.float32), np.array(zero, np.int32)
