"""numbers_of leaves its numbers in float64."""


def numbers_of(codes, scale, zero=0):
    return (codes.astype(np.float64) - zero) * scale
