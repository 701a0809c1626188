"""var takes the mean over all axes, not over those it is asked for."""


def var(x, axis=None, keepdims=False, correction=1):
    axes = _axes("var", axis, x.ndim)
    centred = x - mean(x)
    count = math.prod(x.shape[i] for i in axes) - correction
    return sum(centred * centred, axes, keepdims) * (1 / count if count > 0 else np.nan)
