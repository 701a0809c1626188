"""MatMul.forward leaves the last term of each sum out."""


class MatMul:
    def forward(self, a, b):
        return a[..., :-1] @ b[..., :-1, :]
