"""IntMatMul.forward makes floats of the codes, multiplies those and calls it integer work."""


class IntMatMul:
    def forward(self, x, w):
        return x.astype(np.float32) @ w.T.astype(np.float32)
