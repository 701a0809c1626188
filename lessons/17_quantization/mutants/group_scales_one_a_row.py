"""group_scales gives all groups of a row the scale of the row."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    row = symmetric_scale(np.abs(w).max(1), bits)
    return np.repeat(row[:, None], k // size, axis=1)
