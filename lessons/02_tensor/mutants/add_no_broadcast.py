"""Add.forward takes arrays of one shape only."""


class Add:
    def forward(self, a, b):
        return np.array([x + y for x, y in zip(a.ravel(), b.ravel(), strict=True)], a.dtype).reshape(a.shape)
