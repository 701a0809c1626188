"""mask_of forgets the shape of the scores."""


def mask_of(scores, zeros):
    threshold_of(scores, zeros)
    mask = np.ones(scores.size, bool)
    mask[np.argsort(scores, axis=None, kind="stable")[:zeros]] = False
    return mask
