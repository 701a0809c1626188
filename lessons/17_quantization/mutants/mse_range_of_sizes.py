"""mse_range takes the mean of errors instead of that of their squares."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share)
        codes = np.clip(np.rint(values / scale) + zero, -128, 127)
        loss = float(np.mean(np.abs(values - numbers_of(codes, scale, zero))))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
