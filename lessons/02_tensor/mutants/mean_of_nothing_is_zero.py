"""Mean.forward gives 0 where there are no elements."""


class Mean:
    def forward(self, a):
        count = math.prod(a.shape[i] for i in self.axis)
        return a.sum(self.axis, keepdims=self.keepdims) * a.dtype.type(1 / (count or 1))
