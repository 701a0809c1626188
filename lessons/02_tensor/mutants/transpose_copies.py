"""transpose copies the elements into row-major order."""


def transpose(x, axis0, axis1):
    order = list(range(x.ndim)) or [0]
    i, j = normalize_axis("transpose", axis0, x.ndim), normalize_axis("transpose", axis1, x.ndim)
    order[i], order[j] = order[j], order[i]
    return contiguous(Permute(tuple(order[: x.ndim]))(x))
