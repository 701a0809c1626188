"""random_crop shifts all images of a batch alike."""


def random_crop(padding):
    if padding < 0:
        raise DataError("padding")

    def apply(batch, rng):
        images = _images("random_crop", batch)
        height, width = images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        down, right = rng.integers(0, 2 * padding + 1, size=2)
        return (padded[:, :, down : down + height, right : right + width].copy(), *batch[1:])

    return apply
