"""MaxPool2d.forward pads with zeros, which win over negative numbers."""

import numpy as np


class MaxPool2d:
    def forward(self, x):
        out, index = self.infer(Spec(x.shape, x.dtype))
        windows = np.stack(list(self._views(frame(x, self.padding, 0.0), out)))
        return windows.max(0), windows.argmax(0).astype(index.dtype)
