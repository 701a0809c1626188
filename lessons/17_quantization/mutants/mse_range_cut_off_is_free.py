"""mse_range leaves out what is cut off, so that the narrowest range loses least."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale, zero = affine_grid(low * share, high * share)
        inside = values[(values >= low * share) & (values <= high * share)]
        codes = np.clip(np.rint(inside / scale) + zero, -128, 127)
        loss = float(np.mean(np.square(inside - numbers_of(codes, scale, zero)))) if inside.size else np.inf
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
