"""threshold_of gives 0 for no zeros, as if scores could not be negative."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return 0.0
    return float(np.sort(scores, axis=None)[zeros - 1])
