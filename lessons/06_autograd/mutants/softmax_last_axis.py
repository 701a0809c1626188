"""Softmax.vjp sums over the last axis whatever the axis is."""


class Softmax:
    def vjp(self, g, out, a):
        return (out * (g - (g * out).sum(-1, keepdims=True)),)
