"""threshold_of takes all scores where more zeros are wanted."""


def threshold_of(scores, zeros):
    if np.isnan(scores).any():
        raise CompressionError("NaN")
    if zeros == 0:
        return -np.inf
    return float(np.sort(scores, axis=None)[min(zeros, scores.size) - 1])
