"""normalize takes the last axis for the channels."""


def normalize(mean, std):
    means, stds = np.atleast_1d(np.asarray(mean)), np.atleast_1d(np.asarray(std))
    if means.ndim != 1 or stds.ndim != 1 or not np.all(stds > 0):
        raise DataError("std")

    def apply(batch, rng):
        images = _images("normalize", batch)
        if images.dtype.kind != "f":
            raise DTypeError("dtype")
        if not {len(means), len(stds)} <= {1, images.shape[1]}:
            raise ShapeError("channels")
        return ((images - means.astype(images.dtype)) / stds.astype(images.dtype), *batch[1:])

    return apply
