"""group_scales divides by itself, and gives a group of zeros the scale 0."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    return (np.abs(w.reshape(n, k // size, size)).max(2) / largest_code(bits)).astype(np.float32)
