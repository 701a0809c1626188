"""transpose takes one axis out and puts it in at the other's place, which moves those between."""


def transpose(x, axis0, axis1):
    order = list(range(x.ndim)) or [0]
    i, j = normalize_axis("transpose", axis0, x.ndim), normalize_axis("transpose", axis1, x.ndim)
    order.insert(j, order.pop(i))
    return Permute(tuple(order[: x.ndim]))(x)
