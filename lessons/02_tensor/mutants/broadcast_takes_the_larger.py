"""broadcast takes the larger size of an axis, so that 1 beside 0 gives 1 and nothing is ever refused."""


def broadcast(op, *shapes):
    ndim = max(map(len, shapes), default=0)
    padded = [(1,) * (ndim - len(s)) + tuple(s) for s in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))
