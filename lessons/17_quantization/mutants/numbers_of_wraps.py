"""numbers_of subtracts in int8, where -128 - 100 is 28."""


def numbers_of(codes, scale, zero=0):
    return ((codes - np.asarray(zero, np.int8)) * scale).astype(np.float32)
