"""FakeQuantize.forward takes low and high, which are codes, for numbers."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        return np.rint(np.clip(x, self.low, self.high) / scale) * scale
