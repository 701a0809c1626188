"""FakeQuantize.forward cuts off what stands behind the point."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        shift = zero.astype(x.dtype)
        return (np.clip(np.trunc(x / scale) + shift, self.low, self.high) - shift) * scale
