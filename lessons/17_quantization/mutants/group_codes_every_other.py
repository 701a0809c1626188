"""group_codes has each group of inputs that lie apart."""


def group_codes(w, scales, bits=4):
    n, k = w.shape
    grouped = w.reshape(n, k // scales.shape[1], scales.shape[1])
    return codes_of(grouped, scales[:, None, :], bits).reshape(n, k)
