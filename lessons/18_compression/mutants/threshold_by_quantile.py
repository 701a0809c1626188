"""threshold_of takes a quantile, which lies between two scores."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return -np.inf
    return float(np.quantile(scores, zeros / scores.size))
