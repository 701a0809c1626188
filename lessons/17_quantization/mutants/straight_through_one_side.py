"""FakeQuantize.vjp looks at the upper end only."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        code = x / scale + zero.to(x.dtype)
        return where(code <= self.high + 0.5, g, 0.0), None, None
