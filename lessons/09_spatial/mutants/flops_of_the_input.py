"""Conv2d.flops multiplies by the size of the input instead of the output."""

import math


class Conv2d:
    def flops(self, out, x, w, b=None):
        return 2 * x.size * math.prod(w.shape[1:]) + (0 if b is None else out.size)
