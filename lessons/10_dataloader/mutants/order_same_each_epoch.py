"""DataLoader.order forgets the epoch."""


class DataLoader:
    def order(self, epoch):
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return generator(self.seed, Purpose.SHUFFLE).permutation(len(self.dataset))
