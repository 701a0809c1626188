"""threshold_of partitions each row by itself."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any() or zeros > scores.size:
        raise CompressionError("no such threshold")

    if zeros == 0:
        return -np.inf
    rows = np.partition(scores, (zeros - 1) % scores.shape[-1])
    return float(rows.ravel()[zeros - 1])
