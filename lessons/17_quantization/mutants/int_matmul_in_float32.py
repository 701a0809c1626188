"""IntMatMul.forward multiplies in float32 at once: long sums lose their last digit."""


class IntMatMul:
    def forward(self, x, w):
        return (x.astype(np.float32) @ w.T.astype(np.float32)).astype(np.int32)
