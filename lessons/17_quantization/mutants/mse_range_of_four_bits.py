"""mse_range looks for the range of four bits."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share, 4)
        codes = np.clip(np.rint(values / scale) + zero, -8, 7)
        loss = float(np.mean(np.square(values - numbers_of(codes, scale, zero))))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
