"""Softmax.forward takes powers of the numbers as they are."""


class Softmax:
    def forward(self, a):
        with np.errstate(all="ignore"):
            e = np.exp(a)
            total = e.sum(self.axis, keepdims=True)
            return e / np.where(total == 0, 1, total).astype(a.dtype)
