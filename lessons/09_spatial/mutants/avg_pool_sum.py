"""AvgPool2d.forward gives the sum of each window."""

import numpy as np


class AvgPool2d:
    def forward(self, x):
        out = self._pooled(Spec(x.shape, x.dtype))
        return np.sum(list(self._views(frame(x, self.padding, 0.0), out)), axis=0)
