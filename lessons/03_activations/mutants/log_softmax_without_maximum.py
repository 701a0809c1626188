"""LogSoftmax.forward takes powers of the numbers as they are."""


class LogSoftmax:
    def forward(self, a):
        return a - np.log(np.exp(a).sum(self.axis, keepdims=True))
