"""Relu.forward turns NaN into 0."""


class Relu:
    def forward(self, a):
        return np.fmax(a, a.dtype.type(0))
