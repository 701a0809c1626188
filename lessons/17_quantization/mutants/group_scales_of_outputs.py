"""group_scales makes groups of outputs where there should be groups of inputs."""


def group_scales(w, size, bits=4):
    n, k = w.shape
    return symmetric_scale(np.abs(w.T.reshape(n, k // size, size)).max(2), bits)
