"""numerical_gradient leaves x changed."""

import numpy as np


def numerical_gradient(function, x, eps=1e-6):
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        above, below = x, x.copy()
        above[at] += eps
        below[at] -= eps
        result[at] = (function(above) - function(below)) / (2 * eps)
    return result
