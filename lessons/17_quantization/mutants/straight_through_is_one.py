"""FakeQuantize.vjp gives the derivative, and does not multiply it by g."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        code = x / scale + zero.to(x.dtype)
        inside = (code >= self.low - 0.5) & (code <= self.high + 0.5)
        return inside.to(g.dtype), None, None
