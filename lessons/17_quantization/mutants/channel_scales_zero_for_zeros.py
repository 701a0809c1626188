"""channel_scales divides by itself, and gives a channel of zeros the scale 0."""


def channel_scales(w, bits=8):
    return (np.abs(w.reshape(len(w), -1)).max(1) / largest_code(bits)).astype(np.float32)
