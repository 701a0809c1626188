"""Mul.vjp forgets the gradient of the output."""


class Mul:
    def vjp(self, g, out, a, b):
        return b, a
