"""group_codes uses the code -8, which has no opposite."""


def group_codes(w, scales, bits=4):
    n, k = w.shape
    grouped = w.reshape(n, scales.shape[1], k // scales.shape[1])
    most = largest_code(bits)
    return np.clip(np.rint(grouped / scales[:, :, None]), -most - 1, most).astype(np.int8).reshape(n, k)
