"""normalize_axis checks the axis but leaves it negative."""


def normalize_axis(op, axis, ndim):
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ShapeError(f"{op}: axis {axis} is out of range for {ndim} dimensions")
    return axis
