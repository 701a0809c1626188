"""Div.vjp divides by b once too often."""


class Div:
    def vjp(self, g, out, a, b):
        return g / b, -g * out / (b * b)
