"""normalize_axis wraps axes that are not there around."""


def normalize_axis(op, axis, ndim):
    return axis % ndim if ndim else 0
