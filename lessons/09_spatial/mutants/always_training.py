"""batch_norm goes by the statistics of the batch even in evaluation."""

import numpy as np


def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    affine = [t for t in (weight, bias, running_mean, running_var) if t is not None]
    _check(*(Spec(t.shape, t.dtype) for t in (x, *affine)))
    weight = registry.make(np.ones(x.shape[1], x.dtype)) if weight is None else weight
    bias = registry.make(np.zeros(x.shape[1], x.dtype)) if bias is None else bias
    out, average, variance = BatchNorm(eps).all(x, weight, bias)
    if training and running_mean is not None and running_var is not None:
        count = math.prod(x.shape[i] for i in _others(x))
        _move(running_mean, average, momentum)
        _move(running_var, variance * (count / (count - 1)), momentum)
    return out
