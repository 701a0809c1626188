"""FakeQuantize.forward does not take the zero point off again."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        return np.clip(np.rint(x / scale) + zero.astype(x.dtype), self.low, self.high) * scale
