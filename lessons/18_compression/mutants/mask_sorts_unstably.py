"""mask_of ranks scores from the largest down, so that the last of equal ones go."""


def mask_of(scores, zeros):
    threshold_of(scores, zeros)
    order = np.argsort(-scores, axis=None, kind="stable")
    mask = np.zeros(scores.size, bool)
    mask[order[: scores.size - zeros]] = True
    return mask.reshape(scores.shape)
