"""Add.forward adds to a in place."""


class Add:
    def forward(self, a, b):
        if np.broadcast_shapes(a.shape, b.shape) == a.shape:
            a += b
            return a
        return a + b
