"""mask_of sorts, and never asks whether there is an order or are so many scores."""


def mask_of(scores, zeros):
    mask = np.ones(scores.size, bool)
    mask[np.argsort(scores, axis=None, kind="stable")[:zeros]] = False
    return mask.reshape(scores.shape)
