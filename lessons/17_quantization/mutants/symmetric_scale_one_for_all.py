"""symmetric_scale gives all the scale of the largest of them."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    whole = np.full_like(largest, largest.max())
    return np.where(whole < TINY, np.float32(1), whole / np.float32(largest_code(bits)))
