"""BatchNorm.forward takes the mean of squares minus the square of the mean, which cancels."""

import numpy as np


class BatchNorm:
    def forward(self, x, weight, bias):
        axes = _others(x)
        mean = x.mean(axes)
        variance = np.abs((x * x).mean(axes) - mean * mean)
        rstd = 1 / np.sqrt(variance + x.dtype.type(self.eps))
        out = (x - _beside(mean, x)) * _beside(rstd * weight, x) + _beside(bias, x)
        return out, mean, variance
