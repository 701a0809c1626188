"""BatchNorm.forward divides the variance by n - 1."""

import numpy as np


class BatchNorm:
    def forward(self, x, weight, bias):
        axes = _others(x)
        mean, variance = x.mean(axes), x.var(axes, ddof=1)
        rstd = 1 / np.sqrt(variance + x.dtype.type(self.eps))
        out = (x - _beside(mean, x)) * _beside(rstd * weight, x) + _beside(bias, x)
        return out, mean, variance
