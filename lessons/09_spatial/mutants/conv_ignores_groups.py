"""Conv2d.forward gives every group the channels of the first."""

import numpy as np


class Conv2d:
    def forward(self, x, w, b=None):
        n, o, oh, ow = self.infer(Spec(x.shape, x.dtype), Spec(w.shape, w.dtype)).shape
        framed = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in self.padding)))[:, : w.shape[1]]
        total = np.zeros((n, o, oh, ow), x.dtype)
        weights = w.reshape(o, w.shape[1], -1)
        for i, view in enumerate(views(framed, (oh, ow), _tail(w), self.stride, self.dilation)):
            total += np.einsum("qc,ncyx->nqyx", weights[..., i], view)
        return total if b is None else total + b.reshape(-1, 1, 1)
