"""FakeQuantize.forward has no zero point: the range of codes lies elsewhere."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        return np.clip(np.rint(x / scale), self.low, self.high) * scale
