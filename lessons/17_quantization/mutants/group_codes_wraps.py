"""group_codes lets four bits wrap around where it should cut off."""


def group_codes(w, scales, bits=4):
    steps = np.rint(w / np.repeat(scales, w.shape[1] // scales.shape[1], axis=1)).astype(np.int64)
    half = 2 ** (bits - 1)
    return ((steps + half) % (2 * half) - half).astype(np.int8)
