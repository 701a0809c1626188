"""affine_grid counts codes from 0, as uint8 has them."""


def affine_grid(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    scale = (high - low) / (2**bits - 1)
    zero = min(max(round(-low / scale), 0), 2**bits - 1)
    return np.array(scale, np.float32), np.array(zero, np.int32)
