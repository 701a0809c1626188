"""nucleus takes the tokens whose own probability is large."""


def nucleus(p, top_p):
    order = np.argsort(-p)
    return order[: max(1, int((p >= 1 - top_p).sum()))]
