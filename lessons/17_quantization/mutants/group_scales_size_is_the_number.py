"""group_scales takes the size of a group for the number of groups."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    return symmetric_scale(np.abs(w.reshape(n, size, k // size)).max(2), bits)
