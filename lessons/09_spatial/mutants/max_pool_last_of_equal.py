"""MaxPool2d.forward takes the last of equal ones."""

import numpy as np


class MaxPool2d:
    def forward(self, x):
        out, index = self.infer(Spec(x.shape, x.dtype))
        windows = np.stack(list(self._views(frame(x, self.padding, -np.inf), out)))
        where = len(windows) - 1 - windows[::-1].argmax(0)
        return windows.max(0), where.astype(index.dtype)
