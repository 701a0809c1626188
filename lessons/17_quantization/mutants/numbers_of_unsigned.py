"""numbers_of reads the codes as bytes without a sign."""


def numbers_of(codes, scale, zero=0):
    return ((codes.astype(np.uint8).astype(np.int32) - zero) * scale).astype(np.float32)
