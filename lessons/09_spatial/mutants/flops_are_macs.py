"""Conv2d.flops counts multiply-adds as one."""

import math


class Conv2d:
    def flops(self, out, x, w, b=None):
        return out.size * math.prod(w.shape[1:]) + (0 if b is None else out.size)
