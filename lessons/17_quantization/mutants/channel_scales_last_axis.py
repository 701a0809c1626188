"""channel_scales takes the largest along the last axis only, as if all weights were matrices."""


def channel_scales(w, bits=8):
    return symmetric_scale(np.abs(w).max(-1), bits)
