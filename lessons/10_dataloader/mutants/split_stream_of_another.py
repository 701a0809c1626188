"""random_split draws from a stream that its purpose does not keep apart."""


def random_split(dataset, fractions, seed=0):
    if not fractions or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise DataError("fractions")
    order = np.random.default_rng(seed).permutation(len(dataset))
    cuts = [round(float(t) * len(dataset)) for t in np.cumsum(fractions)[:-1]]
    return [Subset(dataset, part) for part in np.split(order, cuts)]
