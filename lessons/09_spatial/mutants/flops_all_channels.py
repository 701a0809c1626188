"""Conv2d.flops counts the channels of all groups."""

import math


class Conv2d:
    def flops(self, out, x, w, b=None):
        return 2 * out.size * x.shape[1] * math.prod(w.shape[2:]) + (0 if b is None else out.size)
