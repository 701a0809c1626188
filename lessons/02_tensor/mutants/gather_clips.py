"""Gather.forward moves ids that do not fit to the nearest that does."""


class Gather:
    def forward(self, a, ids):
        size = a.shape[self.axis]
        return np.take_along_axis(a, np.clip(ids, -size, size - 1), self.axis)
