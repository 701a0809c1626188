"""random_flip draws from a generator of its own."""


def random_flip(probability=0.5):
    if not 0 <= probability <= 1:
        raise DataError("probability")

    def apply(batch, rng):
        images = _images("random_flip", batch)
        flip = np.random.default_rng().random(len(images)) < probability
        return (np.where(flip[:, None, None, None], images[..., ::-1], images), *batch[1:])

    return apply
