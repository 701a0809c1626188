"""channel_scales takes the mean of each channel for its largest."""


def channel_scales(w, bits=8):
    return symmetric_scale(np.abs(w.reshape(len(w), -1)).mean(1), bits)
