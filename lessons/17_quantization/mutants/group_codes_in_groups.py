"""group_codes leaves its codes in groups."""


def group_codes(w, scales, bits=4):
    n, k = w.shape
    grouped = w.reshape(n, scales.shape[1], k // scales.shape[1])
    return codes_of(grouped, scales[:, :, None], bits)
