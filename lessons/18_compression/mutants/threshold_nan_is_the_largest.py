"""threshold_of lets NaN pass, which sorts behind all numbers."""


def threshold_of(scores, zeros):
    if zeros > scores.size:
        raise CompressionError("too many zeros")
    if zeros == 0:
        return -np.inf
    return float(np.sort(scores, axis=None)[zeros - 1])
