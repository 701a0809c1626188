"""FakeQuantize.vjp compares x itself with low and high, which are codes."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        inside = (x >= self.low - 0.5) & (x <= self.high + 0.5)
        return where(inside, g, 0.0), None, None
