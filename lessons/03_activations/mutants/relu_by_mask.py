"""Relu.forward multiplies by a mask, which makes NaN of -inf."""


class Relu:
    def forward(self, a):
        return a * (a > 0)
