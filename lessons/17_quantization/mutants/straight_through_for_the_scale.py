"""FakeQuantize.vjp gives the scale a gradient too."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        code = x / scale + zero.to(x.dtype)
        inside = (code >= self.low - 0.5) & (code <= self.high + 0.5)
        return where(inside, g, 0.0), where(inside, g, 0.0).sum(), None
