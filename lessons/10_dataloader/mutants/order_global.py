"""DataLoader.order draws from NumPy's global generator."""


class DataLoader:
    def order(self, epoch):
        if not self.shuffle:
            return np.arange(len(self.dataset))
        np.random.seed((self.seed * 1000 + epoch) % 2**32)
        return np.random.permutation(len(self.dataset))
