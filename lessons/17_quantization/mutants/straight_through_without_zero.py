"""FakeQuantize.vjp forgets the zero point in the range."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        code = x / scale
        inside = (code >= self.low - 0.5) & (code <= self.high + 0.5)
        return where(inside, g, 0.0), None, None
