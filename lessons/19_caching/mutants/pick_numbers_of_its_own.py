"""pick draws by itself, whatever u is."""


def pick(p, u):
    return int(np.random.default_rng().choice(len(p), p=p / p.sum()))
