"""AvgPool2d.forward takes the kernel for a square."""

import numpy as np


class AvgPool2d:
    def forward(self, x):
        out = self._pooled(Spec(x.shape, x.dtype))
        total = np.sum(list(self._views(frame(x, self.padding, 0.0), out)), axis=0)
        return total * x.dtype.type(1 / self.kernel[0] ** 2)
