"""FakeQuantize.forward subtracts an array of int32, which makes float64 of float32."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        return (np.clip(np.rint(x / scale) + zero, self.low, self.high) - zero) * scale
