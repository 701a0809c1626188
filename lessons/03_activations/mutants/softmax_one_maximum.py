"""Softmax.forward subtracts the maximum of the whole array, so that small slices vanish."""


class Softmax:
    def forward(self, a):
        if not a.size:
            return a.copy()
        e = np.exp(a - a.max())
        total = e.sum(self.axis, keepdims=True)
        return e / np.where(total == 0, 1, total).astype(a.dtype)
