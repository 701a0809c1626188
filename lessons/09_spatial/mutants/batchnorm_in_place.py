"""BatchNorm.forward changes its input."""

import numpy as np


class BatchNorm:
    def forward(self, x, weight, bias):
        axes = _others(x)
        mean, variance = x.mean(axes), x.var(axes)
        x -= _beside(mean, x)
        x *= _beside(weight / np.sqrt(variance + x.dtype.type(self.eps)), x)
        x += _beside(bias, x)
        return x, mean, variance
