"""affine_grid gives a range without width the scale 0."""


def affine_grid(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = (high - low) / (most - least)
    zero = min(max(round(least - low / max(scale, 1e-300)), least), most)
    return np.array(scale, np.float32), np.array(zero, np.int32)
