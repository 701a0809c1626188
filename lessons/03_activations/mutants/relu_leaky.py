"""Relu.forward lets a hundredth of negative numbers through."""


class Relu:
    def forward(self, a):
        return np.where(a > 0, a, a / 100).astype(a.dtype)
