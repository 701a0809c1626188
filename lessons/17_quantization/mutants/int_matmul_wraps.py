"""IntMatMul.forward adds up in int8."""


class IntMatMul:
    def forward(self, x, w):
        return (x @ w.T).astype(np.int32)
