"""TensorDataset.batch returns the first rows, whatever was asked for."""


class TensorDataset:
    def batch(self, indices):
        return tuple(a[: len(indices)] for a in self.arrays)
