"""Mul.vjp cuts g off from what made it, so that second derivatives lack a part."""


class Mul:
    def vjp(self, g, out, a, b):
        g = g.detach()
        return g * b, g * a
