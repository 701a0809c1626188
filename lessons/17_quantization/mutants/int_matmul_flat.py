"""IntMatMul.forward gives a matrix whatever axes came."""


class IntMatMul:
    def forward(self, x, w):
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return (rows.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int32)
