"""MatMul.forward multiplies by the transpose of b where that fits too."""


class MatMul:
    def forward(self, a, b):
        return a @ (b if a.shape[-1] != b.shape[-1] else b.swapaxes(-1, -2))
