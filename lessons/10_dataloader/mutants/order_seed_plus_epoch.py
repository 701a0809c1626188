"""DataLoader.order adds seed and epoch, so that seed 0 in epoch 1 is seed 1 in epoch 0."""


class DataLoader:
    def order(self, epoch):
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return np.random.default_rng(self.seed + epoch).permutation(len(self.dataset))
