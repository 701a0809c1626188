"""DataLoader.order draws with replacement."""


class DataLoader:
    def order(self, epoch):
        if not self.shuffle:
            return np.arange(len(self.dataset))
        n = len(self.dataset)
        return generator(self.seed, Purpose.SHUFFLE, epoch).integers(0, n, n)
