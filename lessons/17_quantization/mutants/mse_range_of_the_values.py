"""mse_range takes the ends of the values it was given for those that were seen."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    low, high = float(values.min()), float(values.max())
    best = low, high
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share)
        codes = np.clip(np.rint(values / scale) + zero, -128, 127)
        loss = float(np.mean(np.square(values - numbers_of(codes, scale, zero))))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
