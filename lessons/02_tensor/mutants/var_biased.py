"""var divides by n whatever the correction is."""


def var(x, axis=None, keepdims=False, correction=1):
    axes = _axes("var", axis, x.ndim)
    centred = x - mean(x, axes, keepdims=True)
    return mean(centred * centred, axes, keepdims)
