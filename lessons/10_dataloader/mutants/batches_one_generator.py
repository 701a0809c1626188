"""DataLoader._batches draws all transforms of an epoch from one generator, so resuming differs."""


class DataLoader:
    def _batches(self, epoch, start):
        order = self.order(epoch)
        rng = generator(self.seed, Purpose.TRANSFORM, epoch)
        for number in range(start, len(self)):
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            if self.collate is None:
                arrays = self.dataset.batch(indices)
            else:
                arrays = self.collate([self.dataset[int(i)] for i in indices])
            if self.transform is not None:
                arrays = self.transform(arrays, rng)
            yield arrays
