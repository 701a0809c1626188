"""nucleus takes a share of the tokens, not of the probability."""


def nucleus(p, top_p):
    return np.argsort(-p)[: max(1, int(np.ceil(top_p * len(p))))]
