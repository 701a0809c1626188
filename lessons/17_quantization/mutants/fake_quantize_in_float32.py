"""FakeQuantize.forward gives float32 whatever came."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        shift = zero.astype(x.dtype)
        return ((np.clip(np.rint(x / scale) + shift, self.low, self.high) - shift) * scale).astype(np.float32)
