"""Other whole-array ways: take, array_split, masks, slices of a padded copy."""


class TensorDataset:
    def batch(self, indices):
        rows = np.array([int(i) for i in indices], dtype=int)
        return tuple(np.take(a, rows, axis=0) for a in self.arrays)


class Subset:
    def batch(self, indices):
        return self.dataset.batch(np.take(self.indices, np.array(indices, dtype=np.int64)))


def random_split(dataset, fractions, seed=0):
    shares = np.asarray(fractions, dtype=float)
    if shares.size == 0 or (shares <= 0).any() or not np.isclose(shares.sum(), 1.0):
        raise DataError("random_split: fractions")
    ends = np.rint(np.cumsum(shares) * len(dataset)).astype(int)
    ranks = np.argsort(generator(seed, Purpose.SPLIT).random(len(dataset)))
    return [Subset(dataset, ranks[a:b]) for a, b in zip([0, *ends[:-1]], ends)]


def collate(samples):
    rows = [s if isinstance(s, tuple) else (s,) for s in samples]
    try:
        columns = list(zip(*rows, strict=True))
    except ValueError:
        raise DataError("collate: different numbers of fields") from None
    if not rows:
        raise DataError("collate: no samples")
    return tuple(map(_stack, range(len(columns)), columns))


class DataLoader:
    def __len__(self):
        whole = len(self.dataset) / self.batch_size
        return int(whole) if self.drop_last else int(-(-len(self.dataset) // self.batch_size))

    def order(self, epoch):
        count = len(self.dataset)
        if self.shuffle:
            return np.argsort(generator(self.seed, Purpose.SHUFFLE, epoch).random(count))
        return np.array(range(count))

    def _batches(self, epoch, start):
        order = self.order(epoch)
        firsts = range(start * self.batch_size, len(self) * self.batch_size, self.batch_size)
        for number, first in enumerate(firsts, start):
            indices = [int(i) for i in order[first : first + self.batch_size]]
            samples = None if self.collate is None else [self.dataset[i] for i in indices]
            made = self.dataset.batch(indices) if samples is None else self.collate(samples)
            rng = generator(self.seed, Purpose.TRANSFORM, epoch, number)
            yield made if self.transform is None else self.transform(made, rng)

    def load_state_dict(self, state):
        try:
            if len(state) != 3:
                raise KeyError
            epoch, position, seed = (state[name] for name in ("epoch", "batch", "seed"))
        except KeyError:
            raise CheckpointError(f"DataLoader: {state} are not the entries of a state") from None
        if min(epoch, position, seed) < 0 or position > len(self) or seed >= 2**64:
            raise CheckpointError("DataLoader: state out of range")
        self.epoch, self.position, self.seed, self._resumed = epoch, position, seed, True


def prefetched(items, depth):
    room, ready, stop = threading.Semaphore(depth), queue.SimpleQueue(), threading.Event()

    def work():
        try:
            for item in items:
                room.acquire()
                if stop.is_set():
                    return
                ready.put((item, False))
            ready.put((None, True))
        except BaseException as error:
            ready.put((error, True))

    thread = threading.Thread(target=work, name="tinytorch-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, last = ready.get()
            if last and item is not None:
                raise item
            if last:
                break
            room.release()
            yield item
    finally:
        stop.set()
        room.release()
        thread.join()


def normalize(mean, std):
    shift, scale = np.array(mean), np.array(std)
    if shift.ndim > 1 or scale.ndim > 1 or not np.min(scale) > 0:
        raise DataError("normalize: mean and std must be one number a channel, std above 0")

    def apply(batch, rng):
        images, *others = batch
        _images("normalize", batch)
        if not np.issubdtype(images.dtype, np.floating):
            raise DTypeError("normalize: dtype")
        for given in (shift, scale):
            if given.size not in (1, images.shape[1]):
                raise ShapeError("normalize: channels")
        moved = images - shift.reshape(1, -1, 1, 1)
        return ((moved / scale.reshape(1, -1, 1, 1)).astype(images.dtype), *others)

    return apply


def random_crop(padding):
    if padding < 0:
        raise DataError("random_crop: padding")

    def apply(batch, rng):
        images = _images("random_crop", batch)
        count, channels, height, width = images.shape
        padded = np.zeros((count, channels, height + 2 * padding, width + 2 * padding), images.dtype)
        padded[:, :, padding : padding + height, padding : padding + width] = images
        top = rng.integers(2 * padding + 1, size=count)
        left = rng.integers(2 * padding + 1, size=count)
        rows = top[:, None] + np.arange(height)
        columns = left[:, None] + np.arange(width)
        number = np.arange(count)[:, None, None]
        out = padded[number, :, rows[:, :, None], columns[:, None, :]]
        return (np.moveaxis(out, -1, 1), *batch[1:])

    return apply


def random_flip(probability=0.5):
    if not 0 <= probability <= 1:
        raise DataError("random_flip: probability")

    def apply(batch, rng):
        images = _images("random_flip", batch).copy()
        chosen = rng.uniform(size=len(images)) < probability
        images[chosen] = images[chosen][:, :, :, ::-1]
        return (images, *batch[1:])

    return apply
