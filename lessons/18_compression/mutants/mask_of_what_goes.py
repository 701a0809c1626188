"""mask_of is True where a weight goes."""


def mask_of(scores, zeros):
    threshold_of(scores, zeros)
    mask = np.zeros(scores.size, bool)
    mask[np.argsort(scores, axis=None, kind="stable")[:zeros]] = True
    return mask.reshape(scores.shape)
