"""MaxPool2dGrad.forward multiplies by a mask, so that an infinite gradient makes NaN of its neighbours."""

import numpy as np


class MaxPool2dGrad:
    def forward(self, g, index):
        (h, w), (ph, pw) = self.size, self.padding
        framed = np.zeros((*g.shape[:2], h + 2 * ph, w + 2 * pw), g.dtype)
        for position, window in enumerate(self._views(framed, g)):
            window += g * (index == position)
        return unframe(framed, self.padding, self.size)
