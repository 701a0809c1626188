"""MaxPool2d.forward names a position in the padding where all is minus infinity."""

import numpy as np


class MaxPool2d:
    def forward(self, x):
        out, index = self.infer(Spec(x.shape, x.dtype))
        windows = np.stack(list(self._views(frame(x, self.padding, -np.inf), out)))
        return windows.max(0), windows.argmax(0).astype(index.dtype)
