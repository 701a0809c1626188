"""broadcast lines shapes up at their first axis instead of their last."""


def broadcast(op, *shapes):
    ndim = max(map(len, shapes), default=0)
    out = []
    for axis in range(ndim):
        sizes = {s[axis] for s in shapes if len(s) > axis} - {1}
        if len(sizes) > 1:
            raise ShapeError(f"{op}: {' and '.join(map(str, shapes))}: axis {axis - ndim} does not fit")
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)
