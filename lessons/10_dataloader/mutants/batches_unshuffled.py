"""DataLoader._batches takes the samples as they come."""


class DataLoader:
    def _batches(self, epoch, start):
        for number in range(start, len(self)):
            first = number * self.batch_size
            indices = range(first, min(first + self.batch_size, len(self.dataset)))
            if self.collate is None:
                arrays = self.dataset.batch(list(indices))
            else:
                arrays = self.collate([self.dataset[i] for i in indices])
            if self.transform is not None:
                arrays = self.transform(arrays, generator(self.seed, Purpose.TRANSFORM, epoch, number))
            yield arrays
