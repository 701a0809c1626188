"""Sample by sample, image by image, with plain lists."""


class TensorDataset:
    def batch(self, indices):
        if not len(indices):
            return tuple(a[:0].copy() for a in self.arrays)
        return tuple(np.stack([a[int(i)] for i in indices]) for a in self.arrays)


class Subset:
    def batch(self, indices):
        return self.dataset.batch([int(self.indices[int(i)]) for i in indices])


def random_split(dataset, fractions, seed=0):
    if len(fractions) == 0 or any(f <= 0 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"random_split: {fractions}")
    rest = list(range(len(dataset)))
    generator(seed, Purpose.SPLIT).shuffle(rest)
    parts, total, before = [], 0.0, 0
    for fraction in fractions:
        total += fraction
        after = round(total * len(dataset))
        parts.append(Subset(dataset, np.array(rest[before:after], dtype=np.int64)))
        before = after
    return parts


def collate(samples):
    if len(samples) == 0:
        raise DataError("collate: no samples")
    fields = None
    for sample in samples:
        row = sample if isinstance(sample, tuple) else (sample,)
        if fields is None:
            fields = [[] for _ in row]
        if len(row) != len(fields):
            raise DataError("collate: samples differ in their number of fields")
        for values, value in zip(fields, row):
            values.append(value)
    return tuple(_stack(i, values) for i, values in enumerate(fields))


class DataLoader:
    def __len__(self):
        if self.drop_last:
            return len(self.dataset) // self.batch_size
        return (len(self.dataset) + self.batch_size - 1) // self.batch_size

    def order(self, epoch):
        rows = np.arange(len(self.dataset))
        if self.shuffle:
            generator(self.seed, Purpose.SHUFFLE, epoch).shuffle(rows)
        return rows

    def _batches(self, epoch, start):
        left = list(self.order(epoch))[start * self.batch_size :]
        number = start
        while left and number < len(self):
            indices, left = left[: self.batch_size], left[self.batch_size :]
            if self.collate:
                batch = self.collate([self.dataset[int(i)] for i in indices])
            else:
                batch = self.dataset.batch(indices)
            if self.transform:
                batch = self.transform(batch, generator(self.seed, Purpose.TRANSFORM, epoch, number))
            yield batch
            number += 1

    def load_state_dict(self, state):
        if sorted(state) != ["batch", "epoch", "seed"]:
            raise CheckpointError(f"DataLoader: {state}")
        fits = state["epoch"] >= 0 and 0 <= state["batch"] <= len(self) and 0 <= state["seed"] <= 2**64 - 1
        if not fits:
            raise CheckpointError(f"DataLoader: {state} does not fit")
        self.epoch = state["epoch"]
        self.position = state["batch"]
        self.seed = state["seed"]
        self._resumed = True


def prefetched(items, depth):
    ready, stop = queue.Queue(depth), threading.Event()

    def work():
        fill(ready, items, stop)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if type(item) is End:
                if item.error:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            try:
                ready.get(timeout=0.001)
            except queue.Empty:
                pass


def normalize(mean, std):
    means, stds = np.atleast_1d(mean), np.atleast_1d(std)
    if means.ndim > 1 or stds.ndim > 1 or not (stds > 0).all():
        raise DataError("normalize: mean and std")

    def apply(batch, rng):
        images = _images("normalize", batch)
        channels = images.shape[1]
        if images.dtype.kind != "f":
            raise DTypeError("normalize: images must be floats")
        if len(means) not in (1, channels) or len(stds) not in (1, channels):
            raise ShapeError("normalize: channels")
        out = np.empty_like(images)
        for c in range(channels):
            out[:, c] = (images[:, c] - means[c % len(means)]) / stds[c % len(stds)]
        return (out, *batch[1:])

    return apply


def random_crop(padding):
    if padding < 0:
        raise DataError("random_crop: padding")

    def apply(batch, rng):
        images = _images("random_crop", batch)
        height, width = images.shape[2:]
        out = np.zeros_like(images)
        for i, image in enumerate(images):
            down, across = (int(n) for n in rng.integers(-padding, padding + 1, size=2))
            for y in range(height):
                for x in range(width):
                    if 0 <= y - down < height and 0 <= x - across < width:
                        out[i, :, y, x] = image[:, y - down, x - across]
        return (out, *batch[1:])

    return apply


def random_flip(probability=0.5):
    if probability < 0 or probability > 1:
        raise DataError("random_flip: probability")

    def apply(batch, rng):
        images = _images("random_flip", batch)
        out = [np.flip(x, axis=2) if rng.random() < probability else x for x in images]
        return (np.stack(out), *batch[1:])

    return apply
