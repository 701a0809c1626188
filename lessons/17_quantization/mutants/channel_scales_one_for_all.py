"""channel_scales gives each channel the scale of the whole tensor."""


def channel_scales(w, bits=8):
    return symmetric_scale(np.full(len(w), np.abs(w).max()), bits)
