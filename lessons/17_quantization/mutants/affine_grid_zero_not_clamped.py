"""affine_grid neither widens the range nor keeps the zero point within the codes."""


def affine_grid(low, high, bits=8):
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    scale = (high - low) / (most - least)
    return np.array(scale, np.float32), np.array(round(least - low / scale), np.int32)
