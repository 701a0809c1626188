"""threshold_of reaches for place -1 when nothing goes."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    return float(np.sort(scores, axis=None)[zeros - 1])
