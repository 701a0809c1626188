"""group_scales takes the largest number for the one that is farthest from 0."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    return symmetric_scale(np.abs(w.reshape(n, k // size, size).max(2)), bits)
