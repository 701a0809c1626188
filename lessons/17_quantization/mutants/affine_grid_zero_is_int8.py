"""affine_grid gives the zero point as int8, from which no code can be subtracted."""


def affine_grid(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int8)
    scale = (high - low) / (most - least)
    zero = min(max(round(least - low / scale), least), most)
    return np.array(scale, np.float32), np.array(zero, np.int8)
