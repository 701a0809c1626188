"""affine_grid keeps a range on one side of 0, and clamps the zero point to a code."""


def affine_grid(low, high, bits=8):
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    scale = (high - low) / (most - least)
    zero = min(max(round(least - low / scale), least), most)
    return np.array(scale, np.float32), np.array(zero, np.int32)
