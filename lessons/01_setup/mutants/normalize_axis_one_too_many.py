"""normalize_axis lets the axis after the last pass."""


def normalize_axis(op, axis, ndim):
    if not -max(ndim, 1) <= axis <= max(ndim, 1):
        raise ShapeError(f"{op}: axis {axis} is out of range for {ndim} dimensions")
    return axis + ndim if axis < 0 else axis
