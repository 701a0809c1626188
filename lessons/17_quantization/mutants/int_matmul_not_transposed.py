"""IntMatMul.forward multiplies by w itself where the sizes let it."""


class IntMatMul:
    def forward(self, x, w):
        b = w if w.shape[0] == w.shape[1] else w.T
        return (x.astype(np.float64) @ b.astype(np.float64)).astype(np.int32)
