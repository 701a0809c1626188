"""var is the mean of the squares less the square of the mean, which a large mean ruins."""


def var(x, axis=None, keepdims=False, correction=1):
    axes = _axes("var", axis, x.ndim)
    count = math.prod(x.shape[i] for i in axes)
    scale = count / (count - correction) if count > correction else np.nan
    average = mean(x, axes, keepdims)
    return (mean(x * x, axes, keepdims) - average * average) * scale
