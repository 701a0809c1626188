"""random_crop lets what leaves on one side come in on the other."""


def random_crop(padding):
    if padding < 0:
        raise DataError("padding")

    def apply(batch, rng):
        images = _images("random_crop", batch)
        shifts = rng.integers(-padding, padding + 1, size=(len(images), 2))
        rolled = [np.roll(x, tuple(s), axis=(1, 2)) for x, s in zip(images, shifts)]
        return (np.stack(rolled), *batch[1:])

    return apply
