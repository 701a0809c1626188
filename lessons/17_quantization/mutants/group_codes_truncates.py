"""group_codes cuts off what stands behind the point."""


def group_codes(w, scales, bits=4):
    n, k = w.shape
    grouped = w.reshape(n, scales.shape[1], k // scales.shape[1])
    most = largest_code(bits)
    return np.clip(grouped / scales[:, :, None], -most, most).astype(np.int8).reshape(n, k)
