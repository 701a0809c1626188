"""Expand.forward copies the elements."""


class Expand:
    def forward(self, a):
        return np.array(np.broadcast_to(a, self.shape))
