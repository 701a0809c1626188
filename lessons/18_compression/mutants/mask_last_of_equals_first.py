"""mask_of takes the last of equal scores first."""


def mask_of(scores, zeros):
    flat = scores.reshape(-1)
    threshold = threshold_of(flat, zeros)
    mask = flat >= threshold
    equal = np.flatnonzero(flat == threshold)[::-1]
    mask[equal[: zeros - int((flat < threshold).sum())]] = False
    return mask.reshape(scores.shape)
