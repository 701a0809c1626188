"""affine_grid takes eight bits whatever it is told."""


def affine_grid(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    scale = (high - low) / 255
    return np.array(scale, np.float32), np.array(round(-128 - low / scale), np.int32)
