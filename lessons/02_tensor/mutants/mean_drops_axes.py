"""Mean.forward ignores keepdims."""


class Mean:
    def forward(self, a):
        count = math.prod(a.shape[i] for i in self.axis)
        return a.sum(self.axis) * a.dtype.type(1 / count if count else np.nan)
