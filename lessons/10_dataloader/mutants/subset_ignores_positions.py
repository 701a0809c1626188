"""Subset.batch takes the indices for positions of the data set."""


class Subset:
    def batch(self, indices):
        return self.dataset.batch(np.asarray(indices, dtype=np.int64))
