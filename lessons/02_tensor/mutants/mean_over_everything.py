"""Mean.forward divides by the number of all elements."""


class Mean:
    def forward(self, a):
        return a.sum(self.axis, keepdims=self.keepdims) * a.dtype.type(1 / a.size if a.size else np.nan)
