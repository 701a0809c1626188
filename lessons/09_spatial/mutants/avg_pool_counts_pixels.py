"""AvgPool2d.forward divides by the pixels inside of the image only."""

import numpy as np


class AvgPool2d:
    def forward(self, x):
        out = self._pooled(Spec(x.shape, x.dtype))
        total = np.sum(list(self._views(frame(x, self.padding, 0.0), out)), axis=0)
        count = np.sum(list(self._views(frame(np.ones_like(x), self.padding, 0.0), out)), axis=0)
        return (total / count).astype(x.dtype)
