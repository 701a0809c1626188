"""random_split rounds each part down and loses what is left over."""


def random_split(dataset, fractions, seed=0):
    if not fractions or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise DataError("fractions")
    order = generator(seed, Purpose.SPLIT).permutation(len(dataset))
    parts, at = [], 0
    for fraction in fractions:
        size = int(fraction * len(dataset))
        parts.append(Subset(dataset, order[at : at + size]))
        at += size
    return parts
