"""random_split draws each part by itself, so that parts overlap."""


def random_split(dataset, fractions, seed=0):
    if not fractions or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise DataError("fractions")
    rng = generator(seed, Purpose.SPLIT)
    cuts = [0, *(round(float(t) * len(dataset)) for t in np.cumsum(fractions))]
    sizes = [b - a for a, b in zip(cuts, cuts[1:])]
    return [Subset(dataset, rng.permutation(len(dataset))[:size]) for size in sizes]
