"""Relu.forward takes the absolute value."""


class Relu:
    def forward(self, a):
        return np.abs(a)
