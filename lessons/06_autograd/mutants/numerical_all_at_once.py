"""numerical_gradient moves all elements together."""

import numpy as np


def numerical_gradient(function, x, eps=1e-6):
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above += eps
        below -= eps
        result[at] = (function(above) - function(below)) / (2 * eps)
    return result
