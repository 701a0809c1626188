"""numerical_gradient looks to one side alone."""

import numpy as np


def numerical_gradient(function, x, eps=1e-6):
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[at] += eps
        result[at] = (function(above) - function(below)) / eps
    return result
