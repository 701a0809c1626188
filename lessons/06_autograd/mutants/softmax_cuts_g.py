"""Softmax.vjp cuts g off from what made it, so that second derivatives lack a part."""


class Softmax:
    def vjp(self, g, out, a):
        h = g.detach()
        return (out * (h - (h * out).sum(self.axis, keepdims=True)),)
