"""group_scales does not say how many bits there are."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    return symmetric_scale(np.abs(w.reshape(n, k // size, size)).max(2))
