"""The rules of single ops with nothing put off, and written from other formulas."""

import math


class Mul:
    def vjp(self, g, out, a, b):
        return b * g, a * g


class Div:
    def vjp(self, g, out, a, b):
        da = g * (1.0 / b)
        return da, -(da * out)


class Tanh:
    def vjp(self, g, out, a):
        return (g - g * out**2,)


class MatMul:
    def vjp(self, g, out, a, b):
        return g @ b.transpose(-1, -2), (g.transpose(-1, -2) @ a).transpose(-1, -2)


class Mean:
    def vjp(self, g, out, a):
        count = math.prod([a.shape[i] for i in self.axis])
        return (self.spread(g, a) / (count or 1),)


class Softmax:
    def vjp(self, g, out, a):
        weighted = g * out
        return [weighted - out * weighted.sum((self.axis,), keepdims=True)]
