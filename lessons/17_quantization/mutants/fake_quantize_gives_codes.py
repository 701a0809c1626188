"""FakeQuantize.forward gives the codes, and not what they stand for."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        return np.clip(np.rint(x / scale) + zero.astype(x.dtype), self.low, self.high)
