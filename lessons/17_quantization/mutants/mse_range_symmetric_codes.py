"""mse_range looks for the range of a symmetric grid."""


def mse_range(values, low, high, steps=80):
    best, least = (low, high), np.inf
    for step in range(steps, 0, -1):
        share = step / steps
        scale = max(-low, high) * share / 127 or 1.0
        codes = np.clip(np.rint(values / scale), -127, 127)
        loss = float(np.mean(np.square(values - codes * scale)))
        if loss < least:
            best, least = (low * share, high * share), loss
    return best
