"""FakeQuantize.vjp gives the gradient that stairs have: 0."""


class FakeQuantize:
    def vjp(self, g, out, x, scale, zero):
        return g * 0.0, None, None
