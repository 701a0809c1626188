"""IntMatMul.forward adds up in int16, which holds one product, and wraps at the second."""


class IntMatMul:
    def forward(self, x, w):
        return (x.astype(np.int16) @ w.T.astype(np.int16)).astype(np.int32)
