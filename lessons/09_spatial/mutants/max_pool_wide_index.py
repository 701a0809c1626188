"""MaxPool2d.forward gives positions in 64 bits."""

import numpy as np


class MaxPool2d:
    def forward(self, x):
        out, _ = self.infer(Spec(x.shape, x.dtype))
        inside = np.stack(list(self._views(frame(np.ones_like(x, bool), self.padding, False), out)))
        windows = np.stack(list(self._views(frame(x, self.padding, -np.inf), out)))
        rank = np.where(np.isneginf(windows), np.finfo(x.dtype).min, windows)
        return windows.max(0), np.where(inside, rank, -np.inf).argmax(0)
