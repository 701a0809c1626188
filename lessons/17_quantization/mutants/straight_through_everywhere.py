"""FakeQuantize.vjp lets g pass where numbers were cut off too."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        return g, None, None
