"""FakeQuantize.forward rounds, and cuts nothing off."""


class FakeQuantize:
    def forward(self, x, scale, zero):
        return np.rint(x / scale) * scale
