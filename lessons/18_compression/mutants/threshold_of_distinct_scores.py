"""threshold_of counts equal scores once."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return -np.inf
    distinct = np.unique(scores)
    return float(distinct[min(zeros, distinct.size) - 1])
