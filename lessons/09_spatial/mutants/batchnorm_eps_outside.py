"""BatchNorm.forward adds eps to the standard deviation."""

import numpy as np


class BatchNorm:
    def forward(self, x, weight, bias):
        axes = _others(x)
        mean, variance = x.mean(axes), x.var(axes)
        rstd = 1 / (np.sqrt(variance) + x.dtype.type(self.eps))
        out = (x - _beside(mean, x)) * _beside(rstd * weight, x) + _beside(bias, x)
        return out, mean, variance
