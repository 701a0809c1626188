"""Conv2d.flops leaves the bias out."""

import math


class Conv2d:
    def flops(self, out, x, w, b=None):
        return 2 * out.size * math.prod(w.shape[1:])
