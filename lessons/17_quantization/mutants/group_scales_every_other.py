"""group_scales has each group of inputs that lie apart."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    return symmetric_scale(np.abs(w.reshape(n, size, k // size)).max(1), bits)
