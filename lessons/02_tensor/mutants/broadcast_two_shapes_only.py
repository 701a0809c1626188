"""broadcast looks at the first two shapes only."""


def broadcast(op, *shapes):
    a, b = (*shapes, (), ())[:2]
    ndim = max(len(a), len(b))
    a, b = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
    for axis in range(-ndim, 0):
        if a[axis] != b[axis] and 1 not in (a[axis], b[axis]):
            raise ShapeError(f"{op}: shapes {' and '.join(map(str, shapes))} differ at axis {axis}")
    return tuple(m if n == 1 else n for n, m in zip(a, b, strict=True))
