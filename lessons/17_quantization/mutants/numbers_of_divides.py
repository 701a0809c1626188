"""numbers_of divides by the scale."""


def numbers_of(codes, scale, zero=0):
    return ((codes.astype(np.int32) - zero) / scale).astype(np.float32)
