"""Tanh.vjp gives the gradient without its tuple."""


class Tanh:
    def vjp(self, g, out, a):
        return g * (1.0 - out * out)
