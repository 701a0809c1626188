"""mask_of writes into reshape(-1) of its mask, which is a copy where scores are transposed."""


def mask_of(scores, zeros):
    threshold = threshold_of(scores, zeros)
    mask = scores > threshold
    equal = np.flatnonzero(scores == threshold)
    spare = zeros - int((scores < threshold).sum())
    mask.reshape(-1)[equal[spare:]] = True
    return mask
