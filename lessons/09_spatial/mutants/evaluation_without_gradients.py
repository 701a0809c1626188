"""batch_norm goes through NumPy in evaluation, so that no gradient comes back."""


def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    given = [t for t in (weight, bias, running_mean, running_var) if t is not None]
    _check(Spec(x.shape, x.dtype), *[Spec(t.shape, t.dtype) for t in given])
    weight = registry.make(np.ones(x.shape[1], x.dtype)) if weight is None else weight
    bias = registry.make(np.zeros(x.shape[1], x.dtype)) if bias is None else bias
    both = running_mean is not None and running_var is not None
    if both and not training:
        rstd = 1 / np.sqrt(running_var.data + x.dtype.type(eps))
        out = (x.data - _beside(running_mean.data, x)) * _beside(rstd * weight.data, x)
        return registry.make(out + _beside(bias.data, x))
    out, mean, variance = BatchNorm(eps).all(x, weight, bias)
    if both:
        count = x.size // x.shape[1]
        _move(running_mean, mean, momentum)
        _move(running_var, variance * count / (count - 1), momentum)
    return out
