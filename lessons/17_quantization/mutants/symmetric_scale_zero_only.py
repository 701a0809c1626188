"""symmetric_scale looks for zeros alone: what is tiny gives a scale that overflows."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    return np.where(largest == 0, np.float32(1), largest / np.float32(largest_code(bits)))
