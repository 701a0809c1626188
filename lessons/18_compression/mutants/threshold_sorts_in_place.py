"""threshold_of sorts the scores that it was given."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return -np.inf
    flat = scores.reshape(-1)
    flat.sort()
    return float(flat[zeros - 1])
