"""mse_range cuts the steps off before the zero point is added."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share)
        codes = np.clip(np.rint(values / scale), -128, 127) + zero
        loss = float(np.mean(np.square(values - numbers_of(codes, scale, zero))))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
