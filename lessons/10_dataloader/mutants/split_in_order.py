"""random_split cuts the samples as they come."""


def random_split(dataset, fractions, seed=0):
    if not fractions or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise DataError("fractions")
    cuts = [round(float(t) * len(dataset)) for t in np.cumsum(fractions)[:-1]]
    return [Subset(dataset, part) for part in np.split(np.arange(len(dataset)), cuts)]
