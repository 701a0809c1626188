"""channel_scales takes the largest number for the one that is farthest from 0."""


def channel_scales(w, bits=8):
    return symmetric_scale(np.abs(w.reshape(len(w), -1).max(1)), bits)
