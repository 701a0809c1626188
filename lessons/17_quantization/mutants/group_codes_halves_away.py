"""group_codes rounds halves away from zero."""


def group_codes(w, scales, bits=4):
    steps = w / np.repeat(scales, w.shape[1] // scales.shape[1], axis=1)
    most = largest_code(bits)
    return np.clip(np.sign(steps) * np.floor(np.abs(steps) + 0.5), -most, most).astype(np.int8)
