"""FakeQuantize.vjp takes what rounds to the last code for cut off."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        code = x / scale + zero.to(x.dtype)
        inside = (code >= self.low) & (code <= self.high)
        return where(inside, g, 0.0), None, None
