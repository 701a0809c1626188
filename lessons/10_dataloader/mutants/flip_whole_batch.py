"""random_flip mirrors all images of a batch or none."""


def random_flip(probability=0.5):
    if not 0 <= probability <= 1:
        raise DataError("probability")

    def apply(batch, rng):
        images = _images("random_flip", batch)
        return ((images[..., ::-1] if rng.random() < probability else images).copy(), *batch[1:])

    return apply
