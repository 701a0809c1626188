"""threshold_of compares sizes of scores, which may be negative."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return -np.inf
    return float(np.sort(np.abs(scores), axis=None)[zeros - 1])
