"""Tanh.vjp cuts g off from what made it, so that second derivatives lack a part."""


class Tanh:
    def vjp(self, g, out, a):
        return (g.detach() * (1.0 - out * out),)
