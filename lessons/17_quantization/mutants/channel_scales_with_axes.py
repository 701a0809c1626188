"""channel_scales keeps the axes that it took the largest over."""


def channel_scales(w, bits=8):
    return symmetric_scale(np.abs(w).max(tuple(range(1, w.ndim)), keepdims=True), bits)
