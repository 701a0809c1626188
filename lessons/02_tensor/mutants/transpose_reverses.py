"""transpose reverses all axes, which is right for matrices only."""


def transpose(x, axis0, axis1):
    i, j = normalize_axis("transpose", axis0, x.ndim), normalize_axis("transpose", axis1, x.ndim)
    return Permute(tuple(range(x.ndim)) if i == j else tuple(range(x.ndim))[::-1])(x)
