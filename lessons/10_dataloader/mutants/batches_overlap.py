"""DataLoader._batches takes one sample too many."""


class DataLoader:
    def _batches(self, epoch, start):
        order = self.order(epoch)
        for number in range(start, len(self)):
            indices = order[number * self.batch_size : (number + 1) * self.batch_size + 1]
            if self.collate is None:
                arrays = self.dataset.batch(indices)
            else:
                arrays = self.collate([self.dataset[int(i)] for i in indices])
            if self.transform is not None:
                arrays = self.transform(arrays, generator(self.seed, Purpose.TRANSFORM, epoch, number))
            yield arrays
