"""MatMul.forward uses np.dot, which pairs every batch of a with every batch of b."""


class MatMul:
    def forward(self, a, b):
        return np.dot(a, b)
