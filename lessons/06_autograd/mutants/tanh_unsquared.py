"""Tanh.vjp forgets the square."""


class Tanh:
    def vjp(self, g, out, a):
        return (g * (1.0 - out),)
