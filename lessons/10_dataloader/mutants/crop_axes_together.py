"""random_crop shifts along the diagonal only."""


def random_crop(padding):
    if padding < 0:
        raise DataError("padding")

    def apply(batch, rng):
        images = _images("random_crop", batch)
        height, width = images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        at = rng.integers(0, 2 * padding + 1, size=len(images))
        out = [padded[i, :, s : s + height, s : s + width] for i, s in enumerate(at)]
        return (np.stack(out), *batch[1:])

    return apply
