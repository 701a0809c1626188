"""FakeQuantize.forward subtracts the zero point in int8, which wraps around."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        code = np.clip(np.rint(x / scale) + zero.astype(x.dtype), self.low, self.high)
        steps = np.where(np.isnan(x), 0, code).astype(np.int8) - zero.astype(np.int8)
        return np.where(np.isnan(x), x, steps.astype(x.dtype) * scale)
