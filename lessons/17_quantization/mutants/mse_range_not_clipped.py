"""mse_range rounds to codes that do not exist."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share)
        codes = np.rint(values / scale) + zero
        loss = float(np.mean(np.square(values - (codes - zero) * scale)))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
