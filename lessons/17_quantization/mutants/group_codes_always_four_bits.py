"""group_codes takes four bits whatever it is told."""


def group_codes(w, scales, bits=4):
    n, k = w.shape
    grouped = w.reshape(n, scales.shape[1], k // scales.shape[1])
    return codes_of(grouped, scales[:, :, None], 4).reshape(n, k)
