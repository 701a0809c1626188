"""Softmax.forward gives NaN for a slice of nothing but -inf."""


class Softmax:
    def forward(self, a):
        with np.errstate(all="ignore"):
            e = np.exp(a - a.max(self.axis, keepdims=True))
            return e / e.sum(self.axis, keepdims=True)
