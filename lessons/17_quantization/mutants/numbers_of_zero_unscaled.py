"""numbers_of takes the zero point off the number where it is one of the code."""


def numbers_of(codes, scale, zero=0):
    return (codes.astype(np.int32) * scale - zero).astype(np.float32)
