"""threshold_of gives the smallest score that stays, not the largest that goes."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return -np.inf
    flat = np.sort(scores, axis=None)
    return float(flat[min(zeros, flat.size - 1)])
