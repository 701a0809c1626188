"""TensorDataset.batch sorts the indices and drops repeated ones."""


class TensorDataset:
    def batch(self, indices):
        return tuple(a[np.unique(np.asarray(indices, dtype=np.int64))] for a in self.arrays)
