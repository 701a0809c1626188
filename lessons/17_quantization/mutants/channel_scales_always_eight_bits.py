"""channel_scales does not say how many bits there are."""


def channel_scales(w, bits=8):
    return symmetric_scale(np.abs(w.reshape(len(w), -1)).max(1))
