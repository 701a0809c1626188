"""Gather.forward lets ids that are too large start again at 0."""


class Gather:
    def forward(self, a, ids):
        return np.take_along_axis(a, ids % a.shape[self.axis], self.axis)
