"""BatchNorm.forward takes mean and variance of each image, not over the batch."""

import numpy as np


class BatchNorm:
    def forward(self, x, weight, bias):
        axes = tuple(range(2, x.ndim))
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        out = (x - mean) / np.sqrt(variance + x.dtype.type(self.eps)) * _beside(weight, x) + _beside(bias, x)
        return out, x.mean(_others(x)), x.var(_others(x))
