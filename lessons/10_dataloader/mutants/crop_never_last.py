"""random_crop never shifts by the whole padding in one direction."""


def random_crop(padding):
    if padding < 0:
        raise DataError("padding")

    def apply(batch, rng):
        images = _images("random_crop", batch)
        height, width = images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        out = np.empty_like(images)
        for i in range(len(images)):
            down, right = rng.integers(0, max(2 * padding, 1), size=2)
            out[i] = padded[i, :, down : down + height, right : right + width]
        return (out, *batch[1:])

    return apply
